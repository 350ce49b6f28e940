package hostcheck

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestVolumes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    volume
		want Level
	}{
		{volume{"ext4", 20 << 30, 1 << 20}, OK},
		{volume{"btrfs", 20 << 30, -1}, OK},
		{volume{"zfs", 900 << 20, 1 << 20}, Warning},
		{volume{"tmpfs", 20 << 30, 1 << 20}, Warning},
		{volume{"tmpfs", 1 << 20, 1 << 20}, Error},
		{volume{"ext4", 1 << 20, 1 << 20}, Error},
		{volume{"ext4", 20 << 30, 3}, Error},
	} {
		got := c.v.judge("/var/lib/x")[0]
		if got.Level != c.want || (got.Cure == "") != (c.want == OK) || !strings.Contains(got.Detail, c.v.kind) {
			t.Errorf("%+v: %+v, want %s", c.v, got, c.want)
		}
	}
}

func TestStateDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	private := func(string) error { return nil }
	for _, c := range []struct {
		dir     string
		private func(string) error
		want    Level
		says    string
	}{
		{dir, private, OK, dir},
		{filepath.Join(dir, "a", "b"), private, OK, "will be made in " + dir},
		{dir, func(string) error { return errors.New("others can write to it") }, Error, "others can write to it"},
		{filepath.Join(file, "a"), private, Error, "not a directory"},
	} {
		got := StateDir(c.dir, c.private).run(t.Context())[0]
		if got.Level != c.want && !(got.Level == Warning && c.want == OK) || !strings.Contains(got.Detail, c.says) { // the disk may be nearly full
			t.Errorf("%s: %+v, want %s, %q", c.dir, got, c.want, c.says)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("the check has made the directory")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, yes, no := l.Addr().String(), func(context.Context) bool { return true }, func(context.Context) bool { return false }
	for _, c := range []struct {
		addr    string
		running func(context.Context) bool
		want    Level
	}{{"127.0.0.1:0", no, OK}, {taken, yes, OK}, {taken, no, Error}, {"192.0.2.1:1", no, Error}} {
		if got := Listen("api.listen", c.addr, c.running).run(t.Context())[0]; got.Level != c.want || got.Name != "api.listen" {
			t.Errorf("%s: %+v, want %s", c.addr, got, c.want)
		}
	}
	for _, c := range []struct {
		nexus Nexus
		want  []Level
	}{
		{Nexus{}, []Level{OK}},
		{Nexus{Addresses: []string{"http://" + taken, "http://127.0.0.1:1"}}, []Level{OK, Warning}},
	} {
		var got []Level
		for _, r := range c.nexus.Reachable().run(t.Context()) {
			got = append(got, r.Level)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.nexus, diff)
		}
	}
}

// A check that hangs is an error, and the others are made.
func TestHangingCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		all := Run(t.Context(), []Check{
			{"first", func(context.Context) []Result { <-hang; return nil }},
			{"second", func(ctx context.Context) []Result {
				<-ctx.Done()
				return []Result{{Name: "part", Level: Warning, Detail: "late\n\x1b[31m"}}
			}},
			Isolation(func() (string, error) { return "cgroup", nil }, "pid namespace"),
		})
		want := []Result{{"first", Error, "it gave no answer within 15s", "find out why the host does not respond, such as a file system that hangs"},
			{"second part", Warning, "late ?[31m", ""}, all[2]}
		if diff := cmp.Diff(want, all); diff != "" || all[2].Level != Warning {
			t.Errorf("results (-want +got):\n%s", diff)
		}
		if err := Summary(all); err == nil || !strings.Contains(err.Error(), "1 of 3") {
			t.Errorf("summary: %v", err)
		}
		if Summary(all[1:]) != nil {
			t.Error("warnings are an error")
		}
		close(hang)
	})
}

func TestWrite(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := Write(&out, []Result{{"nexus", Warning, "refused", "start it"}, {"open files", OK, "at most 9", ""}})
	want := "warning  nexus       refused\n" +
		"                     -> start it\n" +
		"ok       open files  at most 9\n"
	if err != nil || out.String() != want {
		t.Errorf("%v, wrote\n%s, want\n%s", err, out.String(), want)
	}
}
