package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestJSONPath(t *testing.T) {
	t.Parallel()
	const data = `[{"id":"a","n":1,"net":{"mac-1":"x"},"state":"running"},{"id":"b","n":2,"state":"stopped","tags":["p","q","r"]}]`
	for template, want := range map[string]string{
		`{[*].id}`:               "a b",
		`{.[*].id}`:              "!cannot read",
		`[0].id`:                 "a",
		`{$[-1].n}`:              "2",
		`{[0].net.mac-1}`:        "x",
		`{[0].net['mac-1']}`:     "x",
		`{[1].tags[0:2]}`:        "p q",
		`{[1].tags}`:             `["p","q","r"]`,
		`{[*].missing}`:          "",
		`{..id}`:                 "a b",
		`first {[0].id}, done`:   "first a, done",
		`{[?(@.n>1)].id}`:        "b",
		`{[?(@.id=='a')].state}`: "running",
		`{range [*]}{.id}{"\t"}{.state}{"\n"}{end}`:         "a\trunning\nb\tstopped\n",
		`{range [*]}{.id}:{range .tags[*]}<{@}>{end};{end}`: "a:;b:<p><q><r>;",
		`{range [*]}{.id}`: "!{range} without {end}",
		`{end}`:            "!{end} without {range}",
		`{.id`:             "!closing brace",
		`{[0}`:             "!cannot read",
		`{id}`:             "!cannot read",
	} {
		o := output{format: "jsonpath=" + template}
		var out bytes.Buffer
		err := o.check()
		if err == nil {
			err = o.printQuery(t.Context(), &out, []byte(data))
		}
		got := out.String()
		if err != nil {
			got = "!" + err.Error()
		}
		if wrong, fails := strings.CutPrefix(want, "!"); fails && !(err != nil && strings.Contains(got, wrong)) || !fails && got != want {
			t.Errorf("%s: %q, want %q", template, got, want)
		}
	}
}
