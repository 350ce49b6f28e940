package admin

import (
	"os"
	"testing"
)

func TestPeersThatMayUseTheSocket(t *testing.T) {
	t.Parallel()
	const stranger = 54321
	for _, c := range []struct {
		peer   peer
		groups []int
		want   bool
	}{
		{peer{uid: 0}, nil, true},
		{peer{uid: os.Geteuid()}, nil, true},
		{peer{uid: stranger}, nil, false},
		{peer{uid: stranger, groups: []int{7}}, nil, false},
		{peer{uid: stranger, groups: []int{7}}, []int{8}, false},
		{peer{uid: stranger, groups: []int{6, 8}}, []int{8}, true},
		{peer{uid: stranger, groups: []int{0}}, []int{8}, false},
		// Where not all groups are known, the mode of the socket has decided.
		{peer{uid: stranger, groups: []int{7}, partial: true}, []int{8}, true},
		{peer{uid: stranger, groups: []int{7}, partial: true}, nil, false},
	} {
		if got := c.peer.mayUse(c.groups); got != c.want {
			t.Errorf("%+v with groups %v: %t", c.peer, c.groups, got)
		}
	}
}
