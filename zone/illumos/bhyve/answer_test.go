package bhyve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	values, err := readAnswer(answerValues([]uint64{1, 0, 1<<64 - 1}) + "\n")
	if err != nil || !slices.Equal(values, []uint64{1, 0, 1<<64 - 1}) {
		t.Errorf("numbers: %v, %v", values, err)
	}
	if values, err := readAnswer(answerValues(nil) + "\n"); err != nil || len(values) != 0 {
		t.Errorf("no numbers: %v, %v", values, err)
	}
	_, err = readAnswer(answerError(fmt.Errorf("open /dev/vmm/a:\n%w", syscall.EBUSY)) + "\n")
	var kernel *KernelError
	if !errors.As(err, &kernel) || kernel.Errno != syscall.EBUSY || !strings.HasPrefix(err.Error(), "open /dev/vmm/a: ") {
		t.Errorf("errno: %v", err)
	}
	if _, err := readAnswer(answerError(ErrUnsupported) + "\n"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("unsupported: %v", err)
	}
	if _, err := readAnswer(answerError(errors.New("two  words")) + "\n"); err == nil || err.Error() != "two words" {
		t.Errorf("error: %v", err)
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, s := range []string{"ok\n", "ok 1 2 3 4\n", "ok -1\n", "errno 2 gone\n", "errno 0 x\n", "errno x\n",
		"unsupported\n", "error x\n", "ok 1", "", "\n", "ok 1\nok 2\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, out string) {
		values, err := readAnswer(out)
		if err != nil {
			return
		}
		again, err := readAnswer(answerValues(values) + "\n")
		if err != nil || !slices.Equal(values, again) {
			t.Errorf("%q is %v, read again %v, %v", out, values, again, err)
		}
	})
}
