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

// sayEnv makes the test binary print the clock's reading, as another process.
const sayEnv = "BOOTCLOCK_TEST_SAY"

func TestMain(m *testing.M) {
	if os.Getenv(sayEnv) != "" {
		if dir := os.Getenv(dirEnv); dir != "" {
			id, err := fileID(dir)
			fmt.Println(id, err)
			return
		}
		id, err := Host().Boot()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(int64(Host().Now()), id)
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

// Within a process the clock runs as fast as Go's monotonic clock, unless the host is
// suspended meanwhile.
func TestMatchesMonotonicClock(t *testing.T) {
	t.Parallel()
	clock := Host()
	outer, began, inner := clock.Now(), time.Now(), clock.Now()
	<-time.After(50 * time.Millisecond)
	inner = clock.Now() - inner
	passed := time.Since(began)
	outer = clock.Now() - outer
	const rate = time.Millisecond // the two clocks may be read from different sources
	if inner > passed+rate || passed > outer+rate {
		t.Errorf("%s passed between %s and %s", passed, inner, outer)
	}
}

// Another process's reading lies between two of this process, and its boot id is the
// same.
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
		if id, err := clock.Boot(); err != nil || boot != id {
			t.Errorf("it reads boot %q, this process %q, %v", boot, id, err)
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
