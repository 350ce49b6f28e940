package publish

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestLogOfAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log, lines := logTo()
		now := reply{status: 503, body: "<html>\x1b[2J"}
		f := newFake(t, func(call) reply { return now })
		c := client(t, f, func(cfg *Config) { cfg.Log = log })
		set := func(r reply, d time.Duration) {
			f.mu.Lock()
			now = r
			f.mu.Unlock()
			for range d / time.Second {
				c.Put(t.Context(), uuid.New(), running(1))
				time.Sleep(time.Second)
			}
		}
		set(now, time.Minute)
		set(reply{status: 204}, time.Minute)
		set(reply{status: 409, nexus: true}, time.Minute) // an answer, so it works
		set(reply{status: 404}, time.Minute)
		want := []string{"503 Service Unavailable", "answers again", "404 Not Found"}
		got := lines()
		for i, line := range got {
			if len(got) != len(want) || !strings.Contains(line, want[i]) || strings.Contains(line, "\x1b") {
				t.Fatalf("logged:\n%s", strings.Join(got, "\n"))
			}
		}
	})
}

func TestLogOfAFlappingReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log, lines := logTo()
		n := 0
		f := newFake(t, func(call) reply { n++; return reply{status: []int{204, 503}[n%2]} })
		c := client(t, f, func(cfg *Config) { cfg.Log = log })
		for range 600 {
			c.Put(t.Context(), uuid.New(), destroyed(1))
			time.Sleep(100 * time.Millisecond)
		}
		if got := len(lines()); got < 2 || got > 8 {
			t.Errorf("%d lines in a minute", got)
		}
	})
}
