package top

import (
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

const (
	// tableFrame is how many lines the table has around its rows, without the header: an empty
	// one, the names of the columns, two about the selected VMM, one about what is shown, and the
	// keys.
	tableFrame = 6
	// detailFrame is how many lines the page of a VMM has around it.
	detailFrame = 3
	// leastRows are shown on the smallest terminal; less important lines make room.
	leastRows = 3
)

// Lines returns the screen: as many lines as the terminal has, at most.
func (m Model) Lines() []string {
	var lines []string
	switch {
	case m.help:
		lines = m.helpLines()
	case m.detail != nil:
		lines = m.detailLines()
	default:
		lines = m.tableLines()
	}
	if h := m.view.Height; h > 0 && len(lines) > h {
		last := lines[len(lines)-1]
		lines = append(lines[:h-1], last) // with the keys, or the question
	}
	return lines
}

// header describes the sled, and for how long the agent is away.
func (m *Model) header() []string {
	if m.away.IsZero() {
		return m.view.Brief(m.summary)
	}
	return append(m.view.Brief(m.summary), m.view.TroubleLine("cannot reach agent since "+m.view.At(m.away)+": "+m.why))
}

// room returns how many rows fit on the screen.
func (m *Model) room() int {
	if m.view.Height <= 0 {
		return max(len(m.all), 1)
	}
	return max(m.view.Height-len(m.header())-tableFrame, leastRows)
}

func (m *Model) tableLines() []string {
	rows := m.rows()
	lines := append(m.header(), "")
	digits := view.PrefixLength(m.all)
	at := m.index(rows)
	if len(rows) > 0 {
		lines = append(lines, m.view.Top(rows, view.TopOptions{Digits: digits, Sorted: m.sorted, Reversed: m.reversed,
			From: m.from, Rows: m.room(), Selected: at})...)
	} else if len(m.all) > 0 {
		lines = append(lines, "No VMM matches the filter.")
	} else {
		lines = append(lines, "There are no VMMs on this sled.")
	}
	for m.view.Height > 0 && len(lines) < m.view.Height-4 {
		lines = append(lines, "")
	}
	if at >= 0 {
		lines = append(lines, m.view.TopDetail(rows[at], digits)...)
	} else {
		lines = append(lines, "", "")
	}
	return append(lines, m.status(len(rows)), m.footer("Enter show  s stop  x kill  / filter  < > sort  r reverse  ? help  q quit"))
}

// status says which part of the VMMs is shown, and in which order.
func (m *Model) status(rows int) string {
	by := strings.ToLower(m.sorted)
	if m.sorted == view.ByTrouble {
		by = "trouble"
	}
	if m.reversed {
		by += ", reversed"
	}
	count := fmt.Sprintf("%d VMMs", rows)
	if rows == 1 {
		count = "1 VMM"
	}
	text := count + ", sorted by " + by
	if room := m.room(); rows > room {
		text = fmt.Sprintf("%d to %d of %s", m.from+1, min(m.from+room, rows), text)
	}
	if m.filter != "" && !m.typing {
		text += fmt.Sprintf("; filter %q hides %d, Esc ends it", m.filter, len(m.all)-rows)
	}
	return m.view.Faint(m.view.Clock(m.now) + "  " + text)
}

// footer is the last line: a question, what is typed, a result, or the keys.
func (m *Model) footer(keys string) string {
	switch {
	case m.confirm != nil:
		what := "the guest has the agent's grace to shut down"
		if m.confirm.Action == Kill {
			what = "by force, now; the guest loses unwritten data"
		}
		return m.view.Strong(fmt.Sprintf("%s %s? %s (y/n)", m.confirm.Action, name(m.confirm.VMM), what))
	case m.typing:
		return m.view.Strong("filter: " + m.filter + "_")
	case m.note != "" && m.bad:
		return m.view.TroubleLine(m.note)
	case m.note != "":
		return m.view.Strong(m.note)
	}
	return m.view.Faint(keys)
}

// page returns the lines of the VMM that is shown alone.
func (m *Model) page() []string {
	if m.detail.status == nil {
		return []string{"asking the agent about " + m.detail.name}
	}
	return strings.Split(strings.TrimRight(m.view.Show(*m.detail.status), "\n"), "\n")
}

func (m *Model) detailLines() []string {
	page := m.page()
	var lines []string
	if !m.away.IsZero() {
		lines = append(lines, m.view.TroubleLine("cannot reach agent since "+m.view.At(m.away)+": "+m.why))
	}
	room := max(m.view.Height-detailFrame, 1)
	if m.view.Height <= 0 {
		room = len(page)
	}
	from := max(min(m.detail.from, len(page)-room), 0)
	for _, line := range page[from:min(from+room, len(page))] {
		lines = append(lines, m.view.Cut(line))
	}
	for m.view.Height > 0 && len(lines) < m.view.Height-2 {
		lines = append(lines, "")
	}
	where := fmt.Sprintf("%s  lines %d to %d of %d", m.view.Clock(m.now), from+1, min(from+room, len(page)), len(page))
	return append(lines, m.view.Faint(where), m.footer("Esc back  Up Down PgUp PgDn scroll  s stop  x kill  ? help  q quit"))
}

func (m *Model) helpLines() []string {
	lines := strings.Split(Keys, "\n")
	for i := range lines {
		lines[i] = m.view.Cut(lines[i])
	}
	for m.view.Height > 0 && len(lines) < m.view.Height-1 {
		lines = append(lines, "")
	}
	return append(lines, m.view.Faint("any key goes back"))
}

// Keys describes the keys.
const Keys = `  Up, Down, j, k      select a VMM
  PgUp, PgDn          by a screen
  Home, End, g, G     the first, the last
  Enter               show all that is known of the selected VMM; Esc goes back
  s                   stop it, with the agent's grace; asks first
  x                   kill it: by force, now; asks first
  /                   filter: words that are in the hostname, id, state or trouble;
                      Enter ends typing, Esc ends the filter
  <, >                sort by the column before, the next one
  r                   sort the other way round
  ?                   these keys
  q, Ctrl-C           leave; nothing ends with it`
