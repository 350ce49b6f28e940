package zoneinit

import "testing"

func TestTasksBelow(t *testing.T) {
	t.Parallel()
	for all, want := range map[uint64]uint64{32768: 31744, 4096: 3072, 1000: 750, 4: 3, 0: 0} {
		if got := tasksBelow(all); got != want {
			t.Errorf("of %d: %d, want %d", all, got, want)
		}
	}
}
