package bootclock

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// /proc/uptime counts from the same moment, in hundredths of a second.
func TestAgreesWithUptime(t *testing.T) {
	t.Parallel()
	before := Host().Now()
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Skip(err)
	}
	after := Host().Now()
	var s float64
	if _, err := fmt.Sscan(string(data), &s); err != nil {
		t.Fatal(err)
	}
	up := time.Duration(s * float64(time.Second))
	if up < before-20*time.Millisecond || up > after+20*time.Millisecond {
		t.Errorf("up for %s, the clock says %s to %s", up, before, after)
	}
}
