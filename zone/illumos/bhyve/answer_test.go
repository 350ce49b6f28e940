package bhyve

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func passed(a answer) (answer, error) {
	var b bytes.Buffer
	a.write(&b)
	return readAnswer(b.Bytes())
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	a, err := passed(answer{Values: []uint64{1, 0, 1<<64 - 1}})
	if err != nil || !slices.Equal(a.Values, []uint64{1, 0, 1<<64 - 1}) {
		t.Errorf("numbers: %v, %v", a, err)
	}
	if a, err := passed(answer{}); err != nil || len(a.Values) != 0 {
		t.Errorf("no numbers: %v, %v", a, err)
	}
	_, err = passed(answerError(fmt.Errorf("open /dev/vmm/a: %w", syscall.EBUSY)))
	if !errors.Is(err, syscall.EBUSY) || !strings.HasPrefix(err.Error(), "open /dev/vmm/a: ") {
		t.Errorf("errno: %v", err)
	}
	if _, err := passed(answerError(ErrUnsupported)); !errors.Is(err, ErrUnsupported) {
		t.Errorf("unsupported: %v", err)
	}
	if _, err := passed(answerError(errors.New("two words"))); err == nil || err.Error() != "two words" {
		t.Errorf("error: %v", err)
	}
}
