package top

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// An Event is something that happened.
type Event any

// The events.
type (
	// Tick: it is later.
	Tick struct{ Now time.Time }
	// Size: the terminal has this size now.
	Size struct{ Width, Height int }
	// Key: a key was pressed. Text is what it types, if anything.
	Key struct{ Name, Text string }
	// Seen: the agent has answered.
	Seen struct {
		Now     time.Time
		All     []vmm.Status
		Summary summary.Summary
	}
	// Missed: the agent could not be asked.
	Missed struct {
		Now time.Time
		Why string
	}
	// Shown: the agent has answered about one VMM, or has not.
	Shown struct {
		ID     uuid.UUID
		Status vmm.Status
		Err    string
	}
	// Done: what was asked for is done, or has failed.
	Done struct{ Text, Err string }
)

// An Effect is something to be done.
type Effect any

// The effects.
type (
	// Look asks for all VMMs: Seen or Missed follows.
	Look struct{}
	// Show asks for one: Shown follows.
	Show struct{ ID uuid.UUID }
	// Act stops or kills a VMM: Done follows.
	Act struct {
		Action Action
		VMM    vmm.Status
	}
	// Quit ends the program.
	Quit struct{}
	// Suspend stops it until it is continued.
	Suspend struct{}
)

// An Action is what is done to a VMM.
type Action string

// The actions.
const (
	Stop Action = "stop"
	Kill Action = "kill"
)

// A Model is the state of the screen. It is a value: Step returns a new one.
type Model struct {
	view view.View
	now  time.Time

	all     []vmm.Status
	summary summary.Summary
	// away is since when the agent cannot be asked, why says the last reason.
	away time.Time
	why  string
	// looking and showing are set while the agent is asked.
	looking, showing bool

	sorted   string
	reversed bool
	filter   string
	// typing is set while the filter is typed.
	typing   bool
	selected uuid.UUID
	from     int // the first row on the screen

	// detail is the VMM that is shown alone; its Status is nil until it is known.
	detail *detail
	// confirm is asked.
	confirm *Act
	help    bool
	// note is the result of what was asked for last; bad says that it has failed.
	note string
	bad  bool
}

// detail is one VMM on the whole screen.
type detail struct {
	id     uuid.UUID
	name   string
	status *vmm.Status
	from   int // the first line on the screen
}

// New returns a model of what the agent has said. The view's time and size are those of the events.
func New(v view.View, s Seen) Model {
	m := Model{view: v, sorted: view.ByTrouble}
	m, _ = Step(m, s)
	return m
}

// Step returns the model after an event, and what is to be done.
func Step(m Model, e Event) (Model, []Effect) {
	var effects []Effect
	switch e := e.(type) {
	case Tick:
		m.now = e.Now
		effects = m.ask()
	case Size:
		m.view.Width, m.view.Height = e.Width, e.Height
	case Seen:
		m.now, m.looking, m.away = e.Now, false, time.Time{}
		m.all, m.summary = e.All, e.Summary
	case Missed:
		m.now, m.looking, m.why = e.Now, false, e.Why
		if m.away.IsZero() {
			m.away = e.Now
		}
	case Shown:
		m.shown(e)
	case Done:
		m.note, m.bad = e.Text, e.Err != ""
		if m.bad {
			m.note = e.Err
		}
	case Key:
		effects = m.key(e)
	}
	m.view.Now = m.now
	m.settle()
	return m, effects
}

// ask returns what to ask the agent for now. Nothing is asked twice at the same time.
func (m *Model) ask() (effects []Effect) {
	if !m.looking {
		m.looking = true
		effects = append(effects, Look{})
	}
	if m.detail != nil && !m.showing {
		m.showing = true
		effects = append(effects, Show{m.detail.id})
	}
	return effects
}

func (m *Model) shown(e Shown) {
	m.showing = false
	switch {
	case m.detail == nil || m.detail.id != e.ID:
	case e.Err != "":
		m.note, m.bad = e.Err, true
	default:
		d := *m.detail
		d.status = &e.Status
		m.detail = &d
	}
}

// settle keeps the selection on a row, and the row on the screen.
func (m *Model) settle() {
	rows := m.rows()
	i := m.index(rows)
	if len(rows) == 0 {
		m.from = 0
		return
	}
	if i < 0 {
		i = min(m.from, len(rows)-1)
		m.selected = rows[i].ID
	}
	room := m.room()
	m.from = max(min(m.from, i, len(rows)-room), i-room+1, 0)
}

func (m *Model) index(rows []vmm.Status) int {
	return slices.IndexFunc(rows, func(s vmm.Status) bool { return s.ID == m.selected })
}

// choice returns the selected VMM.
func (m *Model) choice() (vmm.Status, bool) {
	if m.detail != nil && m.detail.status != nil {
		return *m.detail.status, true
	}
	rows := m.rows()
	if i := m.index(rows); i >= 0 {
		return rows[i], true
	}
	return vmm.Status{}, false
}
