package top

import (
	"fmt"
	"unicode"

	"github.com/sledagent/sledagent/agent/vmm"
)

// maxFilter bounds the filter, in runes.
const maxFilter = 60

// key does what a key means where it is pressed.
func (m *Model) key(k Key) []Effect {
	if k.Name == "alt+esc" { // two in a row look so
		return append(m.key(Key{Name: "esc"}), m.key(Key{Name: "esc"})...)
	}
	switch {
	case k.Name == "ctrl+c":
		return []Effect{Quit{}}
	case k.Name == "ctrl+z":
		return []Effect{Suspend{}}
	case m.confirm != nil:
		return m.answer(k)
	case m.typing:
		m.typed(k)
		return nil
	}
	m.note, m.bad = "", false
	if m.help {
		m.help = false
		return nil
	}
	switch k.Name {
	case "q":
		return []Effect{Quit{}}
	case "?", "h":
		m.help = true
	case "s":
		m.ready(Stop)
	case "x":
		m.ready(Kill)
	default:
		if m.detail != nil {
			m.detailKey(k)
			return nil
		}
		return m.tableKey(k)
	}
	return nil
}

func (m *Model) tableKey(k Key) []Effect {
	switch k.Name {
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup", "ctrl+b":
		m.move(-m.room())
	case "pgdown", "ctrl+f", "space":
		m.move(m.room())
	case "home", "g":
		m.move(-len(m.all))
	case "end", "G":
		m.move(len(m.all))
	case "<", "left":
		m.sortBy(-1)
	case ">", "right":
		m.sortBy(1)
	case "r":
		m.reversed = !m.reversed
	case "/":
		m.typing = true
	case "esc":
		m.filter = ""
	case "enter":
		if s, ok := m.choice(); ok {
			m.detail, m.showing = &detail{id: s.ID, name: s.Hostname}, true
			return []Effect{Show{s.ID}}
		}
	}
	return nil
}

// detailKey scrolls the page of one VMM, or leaves it.
func (m *Model) detailKey(k Key) {
	d := *m.detail
	m.detail = &d
	page := max(m.view.Height-detailFrame, 1)
	switch k.Name {
	case "esc", "enter", "backspace", "left":
		m.detail = nil
		return
	case "up", "k":
		d.from--
	case "down", "j":
		d.from++
	case "pgup", "ctrl+b":
		d.from -= page
	case "pgdown", "ctrl+f", "space":
		d.from += page
	case "home", "g":
		d.from = 0
	case "end", "G":
		d.from = len(m.page())
	}
	d.from = max(min(d.from, len(m.page())-page), 0)
}

// move moves the selection by rows.
func (m *Model) move(by int) {
	rows := m.rows()
	if len(rows) == 0 {
		return
	}
	m.selected = rows[max(min(m.index(rows)+by, len(rows)-1), 0)].ID
}

// ready asks whether an action is meant.
func (m *Model) ready(a Action) {
	s, ok := m.choice()
	switch {
	case !ok:
	case s.Record.VMM.State.Terminal():
		m.note, m.bad = fmt.Sprintf("%s has ended", name(s)), true
	default:
		m.confirm = &Act{a, s}
	}
}

// answer carries out what was asked, or not: only y means yes.
func (m *Model) answer(k Key) []Effect {
	act := *m.confirm
	m.confirm = nil
	if k.Name != "y" && k.Name != "Y" {
		m.note = "nothing was changed"
		return nil
	}
	m.note, m.bad = fmt.Sprintf("%s of %s is asked for", act.Action, name(act.VMM)), false
	return []Effect{act}
}

// typed changes the filter.
func (m *Model) typed(k Key) {
	filter := []rune(m.filter)
	switch k.Name {
	case "enter", "up", "down":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, ""
	case "ctrl+u":
		m.filter = ""
	case "backspace":
		m.filter = string(filter[:max(len(filter)-1, 0)])
	default:
		for _, r := range k.Text {
			if unicode.IsPrint(r) && len(filter) < maxFilter {
				filter = append(filter, r)
			}
		}
		m.filter = string(filter)
	}
}

func name(s vmm.Status) string { return fmt.Sprintf("%s (%s)", s.Hostname, s.ID.String()[:8]) }
