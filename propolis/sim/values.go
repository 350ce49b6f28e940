package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func parseDuration(text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration such as 5s", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("duration %s is negative", text)
	}
	return d, nil
}

// parseRefusal reads STATUS[:CODE][*TIMES].
func parseRefusal(text string) (refusal, error) {
	var r refusal
	head, times, limited := strings.Cut(text, "*")
	if limited {
		n, err := strconv.ParseUint(times, 10, 31)
		if err != nil || n == 0 {
			return r, fmt.Errorf("%q is no number of times", times)
		}
		r.times = int(n)
	}
	code, err := strconv.Atoi(head)
	if status, rest, ok := strings.Cut(head, ":"); ok {
		r.code = rest
		code, err = strconv.Atoi(status)
	}
	if err != nil || code < 400 || code > 599 {
		return r, fmt.Errorf("%q is no error status (400 to 599)", head)
	}
	r.status = code
	return r, nil
}

func parsePhase(text string) (Phase, error) {
	if text == "" {
		return RAMPush, nil
	}
	p := Phase(text)
	if p == Finish || !slices.Contains(targetPhases, p) {
		return "", fmt.Errorf("phase %q is none that a migration can fail in", text)
	}
	return p, nil
}
