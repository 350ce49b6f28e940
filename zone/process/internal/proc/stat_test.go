package proc

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A line of Linux 6.18, with a verb for the comm.
const statLine = "4711 (COMM) S 1 4711 4700 34816 4999 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 8 7 6 5\n"

func TestParseStat(t *testing.T) {
	t.Parallel()
	for _, comm := range []string{"sh", "", " ", ")", "(", ") R 1 2", "a (b) c", "x) Z 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "\n", "\xff"} {
		got, err := ParseStat([]byte(strings.Replace(statLine, "COMM", comm, 1)))
		want := Info{ID: ID{PID: 4711, Start: 123456}, PPID: 1, Session: 4700, Comm: comm, State: 'S', Threads: 1,
			CPU: (5 + 6 + 7 + 8) * 10 * time.Millisecond, Resident: 8 * uint64(os.Getpagesize())}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("comm %q: %v\n%s", comm, err, diff)
		}
	}
	for _, bad := range []string{"", "\n", "1", "1 (sh", "1 (sh) S", "x (sh) S 1 1 1", strings.Replace(statLine, "123456", "-1", 1),
		strings.Replace(statLine, " S ", " SS ", 1), strings.Replace(statLine, "4711 (", "0 (", 1)} {
		if got, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("%q was parsed as %+v", bad, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statLine))
	f.Add([]byte("1 () S"))
	f.Add([]byte("1 () S 1" + strings.Repeat(" 9223372036854775807", 30)))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := ParseStat(data)
		if err == nil && (info.PID <= 0 || info.CPU < 0 || !bytes.Contains(data, []byte("("+info.Comm+")"))) {
			t.Errorf("%q was parsed as %+v", data, info)
		}
	})
}

func TestDescendants(t *testing.T) {
	t.Parallel()
	p := func(pid, ppid int, state byte) Info {
		return Info{ID: ID{PID: pid, Start: uint64(pid)}, PPID: ppid, State: state}
	}
	root := ID{PID: 10, Start: 10}
	all := []Info{p(1, 0, 'S'), p(10, 1, 'T'), p(11, 10, 'S'), p(12, 11, 'Z'), p(13, 12, 'R'), p(14, 1, 'S'),
		p(15, 14, 'S'), p(16, 1, 'S'), p(17, 1, 'Z')}
	also := func(i Info) (bool, error) { return i.PID == 14 || i.PID == 17, nil }
	must := func(infos []Info, err error) []Info {
		if err != nil {
			t.Error(err)
		}
		return infos
	}
	pids := func(infos []Info) (n []int) {
		for _, i := range infos {
			n = append(n, i.PID)
		}
		return n
	}
	for name, c := range map[string]struct {
		root ID
		also func(Info) (bool, error)
		want []int
	}{
		"tree":             {root, nil, []int{11, 13}},
		"tree and strays":  {root, also, []int{11, 14, 15, 13}},
		"root's pid again": {ID{PID: 10, Start: 9}, nil, nil},
		"strays alone":     {ID{}, also, []int{14, 15}},
	} {
		if diff := cmp.Diff(c.want, pids(must(Descendants(all, c.root, c.also)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	loop := []Info{p(2, 3, 'S'), p(3, 2, 'S')}
	if got := pids(must(Descendants(loop, ID{PID: 2, Start: 2}, nil))); !cmp.Equal(got, []int{3}) {
		t.Errorf("loop: %v", got)
	}
}
