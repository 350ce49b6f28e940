package demo

import (
	"fmt"
	"strings"
	"time"
)

// intro says to somebody who has never heard of the project what they see.
func intro(on backend, grace time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, `sled-agent runs virtual machines for a control plane, Nexus. It promises one thing above
all: a stop that was accepted ends, even if the VM hangs, lies or crashes. See it tried on
five VMs (real processes, simulated guests), each given %v to stop:

`, grace)
	for _, r := range cast() {
		fmt.Fprintf(&b, "  %-9s %s\n", r.name, r.story)
	}
	if on.setting != "" {
		b.WriteString("\n" + wrap(on.setting) + "\n")
	}
	return b.String()
}

const header = "VMM        asked  deadline  removal   killed     gone  published  Nexus says  promise"

const legend = `
Seconds since the stop.  asked: the VMM's server accepted the stop.  deadline: its time was up.
removal: the agent began to remove its zone.  gone: nothing of the zone is left, the agent has
looked.  published: Nexus acknowledged the end, and only then the agent forgot the VMM.
`

// picture is the live table.
func picture(all []facts, now time.Time) []string {
	lines := []string{header}
	for _, f := range all {
		lines = append(lines, row(f, string(f.row.State()), f.progress(now)))
	}
	return lines
}

// report is the final table with its verdicts.
func report(all []facts, on backend, grace time.Duration) string {
	var b strings.Builder
	b.WriteString(header + "\n")
	kept := 0
	for _, f := range all {
		breaches := f.judge(grace)
		word := "kept"
		if len(breaches) == 0 {
			kept++
		} else {
			word = "BROKEN"
		}
		b.WriteString(row(f, string(f.row.State()), word) + "\n")
		for _, br := range breaches {
			fmt.Fprintf(&b, "           broken (%s): %s\n", br.promise, br.text)
		}
	}
	b.WriteString(legend)
	// It also says why the verdict can be believed.
	fmt.Fprintf(&b, "\n%s\n", wrap(fmt.Sprintf("The promise was kept for %d of %d VMMs. Checked with Nexus "+
		"(destroyed, told once), the kernel (no process, no listener), %s and the agent (unknown, but not before "+
		"Nexus knew).", kept, len(all), on.witness)))
	return b.String()
}

// width is how long a line of prose may be.
const width = 94

// wrap breaks text into lines.
func wrap(text string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func row(f facts, nexus, last string) string {
	t := f.timeline()
	return strings.TrimRight(fmt.Sprintf("%-9s %6s  %8s  %7s  %7s  %7s  %9s  %-10s  %s", f.role.name,
		step(t.asked), step(t.deadline), step(t.removal), step(t.kill), step(t.gone), step(t.published), nexus, last), " ")
}

// progress says in a few words where a VMM is in its life.
func (f facts) progress(now time.Time) string {
	t := f.timeline()
	switch {
	case f.refusal != "":
		return "the stop was refused"
	case !f.forgotten.IsZero():
		return "over"
	case t.gone != nil:
		return "telling Nexus"
	case t.removal != nil:
		return "being removed"
	case !f.sent.IsZero():
		return "stopping for " + seconds(now.Sub(f.sent))
	case !f.running.IsZero():
		return "running"
	}
	return "starting"
}

// An item is one line of a log.
type item struct {
	at   time.Time
	text string
}

// news are the lines of a log that tell what happened to a VMM between two looks.
func news(before, after facts) (items []item) {
	tell := func(since time.Duration, text string) {
		items = append(items, item{after.sent.Add(since),
			fmt.Sprintf("%-9s %+7.2fs  %s", after.role.name, since.Seconds(), text)})
	}
	if before.sent.IsZero() && !after.sent.IsZero() {
		tell(0, after.begins())
	}
	if after.refusal != before.refusal {
		tell(0, "the stop was refused: "+after.refusal)
	}
	was, is := before.timeline(), after.timeline()
	for _, s := range []struct {
		was, is *time.Duration
		text    string
	}{
		{was.asked, is.asked, "its server accepted the stop"},
		{was.deadline, is.deadline, "its time is up"},
		{was.removal, is.removal, "the agent begins to remove its zone"},
		{was.kill, is.kill, "every process of its zone is killed"},
		{was.gone, is.gone, "its zone is gone: the agent has looked"},
		{was.published, is.published, "Nexus has acknowledged its end"},
	} {
		if s.was == nil && s.is != nil {
			tell(*s.is, s.text)
		}
	}
	return items
}

// begins says how the VMM's end begins.
func (f facts) begins() string {
	if f.role.byItself {
		return f.role.story
	}
	return "is told to stop, and " + f.role.story
}

func step(d *time.Duration) string {
	if d == nil {
		return "-"
	}
	return seconds(*d)
}

// seconds keeps to hundredths: the differences that matter here are not smaller.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
