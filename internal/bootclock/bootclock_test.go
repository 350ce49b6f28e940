package bootclock

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// sayEnv has the test binary print the clock's reading instead, as another process.
const sayEnv = "BOOTCLOCK_TEST_SAY"

func TestMain(m *testing.M) {
	if os.Getenv(sayEnv) != "" {
		fmt.Println(int64(Host().Now()), Host().Boot())
		return
	}
	goleak.VerifyTestMain(m)
}

func TestNeverGoesBack(t *testing.T) {
	t.Parallel()
	clock := Host()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			last := clock.Now()
			if last <= 0 {
				t.Errorf("booted %s ago", last)
			}
			for range 100_000 {
				now := clock.Now()
				if now < last {
					t.Errorf("%s after %s", now, last)
					return
				}
				last = now
			}
		})
	}
	all.Wait()
}

// TestGoesWithTheProcessClock: within a process it runs as fast as Go's own
// monotonic clock. The bound is for a busy host that takes the processor away
// between two readings, and has none for one that is suspended.
func TestGoesWithTheProcessClock(t *testing.T) {
	t.Parallel()
	clock := Host()
	first, began := clock.Now(), time.Now()
	<-time.After(50 * time.Millisecond)
	passed, want := clock.Now()-first, time.Since(began)
	if off := passed - want; off < -10*time.Second || off > 10*time.Second || passed < 50*time.Millisecond {
		t.Errorf("%s passed in %s", passed, want)
	}
}

// TestAnotherProcessReadsTheSame: its reading lies between two of this process,
// and it names the same boot.
func TestAnotherProcessReadsTheSame(t *testing.T) {
	t.Parallel()
	clock := Host()
	for range 3 {
		before := clock.Now()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), sayEnv+"=1", "GORACE=atexit_sleep_ms=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		after := clock.Now()
		var now time.Duration
		var boot string
		if _, err := fmt.Sscan(string(out), (*int64)(&now), &boot); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if now < before || now > after {
			t.Errorf("it reads %s, between %s and %s", now, before, after)
		}
		if boot != clock.Boot() || boot != Host().Boot() {
			t.Errorf("it says boot %q, this process %q", boot, clock.Boot())
		}
	}
}

func TestKnowsItsBoot(t *testing.T) {
	t.Parallel()
	id, err := bootID()
	if err != nil || id == "" {
		t.Errorf("boot %q: %v", id, err)
	}
}
