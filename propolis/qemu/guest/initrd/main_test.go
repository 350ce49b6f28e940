package main

import (
	"strings"
	"testing"
)

// Each entry is a header, a name that ends in zero and a content, which begin at a multiple of four.
func TestArchive(t *testing.T) {
	t.Parallel()
	var a archive
	a.add("init", 0o100755, []byte("hello"))
	a.device("dev/console", 0o020600, 5, 1)
	want := "070701" + "00000001" + "000081ed" + strings.Repeat("0", 16) + "00000001" + "00000000" + "00000005" +
		strings.Repeat("0", 32) + "00000005" + "00000000" + "init\x00\x00" + "hello\x00\x00\x00" +
		"070701" + "00000002" + "00002180" + strings.Repeat("0", 16) + "00000001" + strings.Repeat("0", 32) +
		"00000005" + "00000001" + "0000000c" + "00000000" + "dev/console\x00\x00\x00"
	if got := a.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
