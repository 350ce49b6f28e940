package runner

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sledagent/sledagent/agent/vmm"
)

func TestTextsAreClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "zone is gone": "zone is gone", "a\r\n\tb": "a\n\tb", "été": "été",
		"\x1b[2J\x1b]0;x\a": "?[2J?]0;x?", "\u009b31m": "?31m", "\u202egnp.exe": "?gnp.exe", "\xff\xfe": "??",
		"a\x00b\x7f": "a?b?", strings.Repeat("é", maxText): strings.Repeat("é", maxText/2-2) + "...",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// TestReasonsAreClean: a reason is cleaned before it becomes part of the state, whatever its
// source.
func TestReasonsAreClean(t *testing.T) {
	t.Parallel()
	dirty := "\x1b[31m" + strings.Repeat("\x00\u009b", 1<<20)
	for _, in := range []vmm.Input{vmm.StartFailed{Why: dirty}, vmm.Lost{Why: dirty}, vmm.Unsure{Why: dirty},
		vmm.ZoneChanged{How: dirty}, vmm.ZoneEnded{Why: dirty}, vmm.Published{Why: dirty}} {
		why := ""
		switch in := cleaned(in).(type) {
		case vmm.StartFailed:
			why = in.Why
		case vmm.Lost:
			why = in.Why
		case vmm.Unsure:
			why = in.Why
		case vmm.ZoneChanged:
			why = in.How
		case vmm.ZoneEnded:
			why = in.Why
		case vmm.Published:
			why = in.Why
		}
		if why == "" || len(why) > maxText || !utf8.ValidString(why) || strings.ContainsFunc(why, unicode.IsControl) {
			t.Errorf("%T: %d bytes, %.40q", in, len(why), why)
		}
	}
}
