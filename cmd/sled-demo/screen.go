package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sledagent/sledagent/internal/table"
)

// intro explains the demo to a reader who does not know the project.
func intro(backend string, grace time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, `sled-agent runs virtual machines for a control plane, Nexus. It promises one
thing above all: a stop that was accepted ends, even if the VM hangs, errs or
crashes. See it tried on %s,
each given %v to stop:

`, vms[backend], grace)
	for _, r := range roles(backend) {
		fmt.Fprintf(&b, "  %-9s %s\n", r.name, r.story)
	}
	switch backend {
	case "qemu":
		b.WriteString(`
The guests are Linux, in QEMU. While they stop, the agent is killed (SIGKILL)
and started again.
`)
	case "illumos":
		b.WriteString(`
The zones are those of illumos: the agent runs zoneadm, zonecfg, dladm and so
on. Here these are stand-ins, which keep the state of one host between them and
run the servers.
`)
	}
	return b.String() + "\n"
}

// vms describes the VMs of a backend.
var vms = map[string]string{
	"process": "five VMs (real processes, simulated guests)",
	"illumos": "five VMs (real processes, simulated guests)",
	"qemu":    "four VMs with real guests",
}

// header has the names of the columns, columns their widths: nothing moves as times come in, and
// lines have fewer than 80 columns, so that a terminal does not wrap them.
var (
	header  = []string{"VMM", "asked", "deadline", "removal", "killed", "gone", "published", "Nexus", "promise"}
	columns = []table.Column{{Least: 8}, {Least: 6, Gap: 1}, {Least: 8, Gap: 1}, {Least: 7, Gap: 1}, {Least: 6, Gap: 1},
		{Least: 6, Gap: 1}, {Least: 9, Gap: 1}, {Least: 9}}
)

const legend = `
Seconds since the stop. asked: the VMM's server accepted the stop. deadline:
the grace ended. removal: the agent began to remove the zone. gone: nothing of
the zone is left, as the agent checked. published: Nexus acknowledged the end,
and only then the agent forgot the VMM.
`

// rows returns a table with a row for each VMM that ends with the first of its words. The other
// words are lines below the row.
func rows(all []facts, words func(facts) []string) []string {
	t := table.Table{Columns: columns}
	t.Row(cells(header)...)
	below := make([][]string, len(all))
	for i, f := range all {
		w := words(f)
		t.Row(cells(f.row(w[0]))...)
		below[i] = w[1:]
	}
	laid := t.Lines()
	lines := laid[:1:1]
	for i, line := range laid[1:] {
		lines = append(append(lines, line), below[i]...)
	}
	return lines
}

// cells returns a row. Times are aligned to the right.
func cells(texts []string) []table.Cell {
	row := make([]table.Cell, len(texts))
	for i, text := range texts {
		row[i] = table.Cell{Text: text, Right: i >= 1 && i <= 6}
	}
	return row
}

// report returns the final table with its verdicts and their evidence. whole reports
// whether every promise was kept.
func report(all []facts, backend string, grace time.Duration, unnoticed string) (text string, whole bool) {
	kept := 0
	lines := rows(all, func(f facts) []string {
		breaches := f.judge(grace)
		if len(breaches) > 0 {
			return append([]string{"BROKEN"}, breaches...)
		}
		kept++
		return []string{"kept"}
	})
	lines = append(lines, legend, fmt.Sprintf("The promise was kept for %d of %d VMMs. What was checked of each:", kept, len(all)),
		"  with Nexus: destroyed, published once", "  with the kernel: no process, no listener")
	if backend == "illumos" {
		lines = append(lines, "  with zoneadm, dladm and zfs: no zone, no datalink, no dataset")
	}
	lines = append(lines, "  with the file system: no zone directory",
		"  with the agent: it knows no such VMM, since Nexus acknowledged the end", "")
	if unnoticed != "" {
		lines = append(lines, unnoticed, "")
	}
	return strings.Join(lines, "\n"), kept == len(all)
}

func (f facts) row(last string) []string {
	t := f.timeline()
	row := []string{f.name}
	for _, kind := range []string{"asked", "deadline", "removal", "kill", "gone", "published"} {
		at := "-"
		if d, ok := t[kind]; ok {
			at = seconds(d)
		}
		row = append(row, at)
	}
	return append(row, f.state, last)
}

// progress returns the VMM's stage in a word.
func (f facts) progress(now time.Time) string {
	t := f.timeline()
	_, gone := t["gone"]
	_, removal := t["removal"]
	switch {
	case f.refusal != "":
		return "refused"
	case !f.forgotten.IsZero():
		return "over"
	case gone:
		return "publishing"
	case removal:
		return "removing"
	case !f.sent.IsZero():
		return "stop " + seconds(now.Sub(f.sent)) + "s"
	case f.pid != 0:
		return "running"
	}
	return "starting"
}

// seconds formats with two decimals: smaller differences do not matter here.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// A screen shows the facts as they are collected: on a terminal in a table that is
// redrawn in place, otherwise as a row for each change.
type screen struct {
	w       io.Writer
	columns int             // of the terminal; 0 without one
	drawn   int             // lines of the table on the screen
	printed map[string]bool // rows that were printed
}

func newScreen(f *os.File) *screen {
	columns, _, _ := term.GetSize(int(f.Fd())) // Without a terminal there is an error.
	return &screen{w: f, columns: columns, printed: map[string]bool{}}
}

// show updates what is shown.
func (s *screen) show(all []facts, now time.Time) {
	if s.columns == 0 {
		for i, line := range rows(all, func(facts) []string { return []string{""} }) {
			if !s.printed[line] && (i == 0 || !all[i-1].sent.IsZero()) {
				fmt.Fprintln(s.w, line)
				s.printed[line] = true
			}
		}
		return
	}
	var text strings.Builder
	for _, line := range rows(all, func(f facts) []string { return []string{f.progress(now)} }) {
		// A wrapped line would take two rows and misplace the next table.
		text.WriteString(table.Cut(line, s.columns, "") + "\x1b[K\n")
	}
	fmt.Fprint(s.w, s.home()+text.String())
	s.drawn = 1 + len(all)
}

// clear erases the table, since the final report repeats it.
func (s *screen) clear() {
	if s.columns == 0 {
		fmt.Fprintln(s.w)
		return
	}
	fmt.Fprint(s.w, s.home()+"\x1b[J")
}

// home moves the cursor to the start of the table.
func (s *screen) home() string {
	if s.drawn == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA", s.drawn)
}
