package vmm

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stopping returns a VMM that was stopped at epochStart, and what then happened at the
// given times after that.
func stopping(t *testing.T, stop Stop, then ...timed) (State, []Effect) {
	t.Helper()
	s, effects := run(t, after(stop)...)
	for _, i := range then {
		s, effects = Step(s, i.in, epochStart.Add(i.at))
	}
	return s, effects
}

type timed struct {
	at time.Duration
	in Input
}

func asks(effects []Effect) (all []Ask) {
	for _, e := range effects {
		if ask, ok := e.(Ask); ok {
			all = append(all, ask)
		}
	}
	return all
}

func softly(until time.Duration) []Ask {
	return []Ask{{Action: AskStop, Until: epochStart.Add(until)}}
}

// The deadline leaves room for the soft time and the margin, unless it was asked for or is
// the maximum.
func TestDeadlineOfASoftStop(t *testing.T) {
	t.Parallel()
	ten, zero := 10*time.Second, time.Duration(0)
	for name, tt := range map[string]struct {
		stop           Stop
		deadline, soft time.Duration
	}{
		"within the default grace": {Stop{Soft: 30 * time.Second}, 10 * time.Minute, 30 * time.Second},
		"at its end":               {Stop{Soft: 10*time.Minute - SoftMargin + 1}, 10*time.Minute + 1, 10*time.Minute - SoftMargin + 1},
		"beyond it":                {Stop{Soft: 20 * time.Minute}, 20*time.Minute + SoftMargin, 20 * time.Minute},
		"with a grace":             {Stop{Soft: 30 * time.Second, Grace: &ten}, ten, 30 * time.Second},
		"by force":                 {Stop{Soft: 30 * time.Second, Grace: &zero}, 0, 30 * time.Second},
		"beyond the maximum":       {Stop{Soft: 1<<63 - 1}, time.Hour, time.Hour},
		"near the maximum":         {Stop{Soft: time.Hour - time.Second}, time.Hour, time.Hour - time.Second},
	} {
		s, effects := stopping(t, tt.stop)
		if got := s.Armed.At.Sub(epochStart); got != tt.deadline || s.Stop.Soft != tt.soft {
			t.Errorf("%s: deadline after %s, soft time %s; want %s and %s", name, got, s.Stop.Soft, tt.deadline, tt.soft)
		}
		if d := cmp.Diff(softly(tt.soft), asks(effects)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// A Propolis without soft stops is asked to stop the VM at once, within the same grace.
func TestSoftStopWithoutAPowerButton(t *testing.T) {
	t.Parallel()
	w := newWorld(false)
	w.s.Limits.SoftStop = false
	var effects []Effect
	for _, in := range after(Stop{Soft: 20 * time.Minute}) {
		w.s, effects = Step(w.s, in, epochStart)
	}
	if got := w.s.Armed.At.Sub(epochStart); got != 20*time.Minute+SoftMargin || w.s.Stop.Soft != 0 {
		t.Errorf("deadline after %s, soft time %s", got, w.s.Stop.Soft)
	}
	if d := cmp.Diff([]Ask{{Action: AskStop}}, asks(effects)); d != "" {
		t.Error(d)
	}
	if _, effects = Step(w.s, Stop{}, epochStart); len(asks(effects)) != 0 {
		t.Errorf("a second stop is forwarded: %+v", effects)
	}
}

func TestASecondStop(t *testing.T) {
	t.Parallel()
	five, half := 5*time.Second, 30*time.Second
	accepted := timed{time.Second, Answered{Action: AskStop}}
	for name, tt := range map[string]struct {
		first Stop
		then  []timed
		asks  []Ask
		// deadline and soft are the times from the first stop on; soft 0: none.
		deadline, soft time.Duration
	}{
		"hard interrupts soft":       {Stop{Soft: time.Minute}, []timed{accepted, {five, Stop{}}}, []Ask{{Action: AskStop}}, 10 * time.Minute, 0},
		"hard shortens the deadline": {Stop{Soft: time.Hour / 2}, []timed{accepted, {five, Stop{}}}, []Ask{{Action: AskStop}}, 10*time.Minute + five, 0},
		"hard after the soft time":   {Stop{Soft: five}, []timed{accepted, {time.Minute, Stop{}}}, []Ask{{Action: AskStop}}, 10 * time.Minute, 0},
		"shorter interrupts":         {Stop{Soft: time.Minute}, []timed{accepted, {five, Stop{Soft: half}}}, softly(half + five), 10 * time.Minute, half + five},
		"the same changes nothing":   {Stop{Soft: time.Minute}, []timed{accepted, {five, Stop{Soft: time.Minute}}}, nil, 10 * time.Minute, time.Minute},
		"one that ends later":        {Stop{Soft: time.Minute}, []timed{accepted, {59 * time.Second, Stop{Soft: half}}}, nil, 10 * time.Minute, time.Minute},
		"soft after hard":            {Stop{}, []timed{accepted, {five, Stop{Soft: half}}}, nil, 10 * time.Minute, 0},
		"soft after hard, far away":  {Stop{}, []timed{{five, Stop{Soft: time.Hour / 2}}}, nil, 10 * time.Minute, 0},
		"a grace moves the deadline": {Stop{Soft: time.Minute}, []timed{accepted, {five, Stop{Soft: time.Minute, Grace: &half}}}, nil, half + five, time.Minute},
		"as it does of a hard stop":  {Stop{}, []timed{{five, Stop{Soft: time.Minute, Grace: &half}}}, nil, half + five, 0},
		"a third one that is hard":   {Stop{Soft: time.Minute}, []timed{{five, Stop{Soft: half}}, {six, Stop{}}}, []Ask{{Action: AskStop}}, 10 * time.Minute, 0},
	} {
		s, effects := stopping(t, tt.first, tt.then...)
		if d := cmp.Diff(tt.asks, asks(effects)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if got := s.Armed.At.Sub(epochStart); got != tt.deadline {
			t.Errorf("%s: deadline after %s, want %s", name, got, tt.deadline)
		}
		if got := s.SoftUntil().Sub(epochStart); s.Stop.Soft > 0 && got != tt.soft || (s.Stop.Soft > 0) != (tt.soft > 0) {
			t.Errorf("%s: soft until %s, want %s", name, got, tt.soft)
		}
		if (tt.asks != nil) != s.Stop.Acked.IsZero() && len(tt.then) > 1 && tt.then[0] == accepted {
			t.Errorf("%s: accepted at %s", name, s.Stop.Acked)
		}
	}
}

const six = 6 * time.Second

// A request that is repeated, by this process or the next, ends at the same time; when that
// has passed it is a hard one.
func TestARepeatedSoftStopEndsAtTheSameTime(t *testing.T) {
	t.Parallel()
	soft := Stop{Soft: 30 * time.Second}
	s, _ := stopping(t, soft)
	_, effects := Step(s, Resumed{}, epochStart.Add(10*time.Second))
	if d := cmp.Diff(softly(30*time.Second), asks(effects)); d != "" {
		t.Errorf("after a restart: %s", d)
	}
	s, _ = Step(s, Answered{Action: AskStop}, epochStart)
	if _, effects = Step(s, Resumed{}, epochStart.Add(time.Second)); len(asks(effects)) != 0 {
		t.Errorf("one that was accepted is repeated after a restart: %+v", effects)
	}
	s, _ = run(t, Start{}, ZoneBooted{}, Ensured{}, soft)
	_, effects = Step(s, Answered{Action: AskStop, NoVM: true}, epochStart.Add(10*time.Second))
	want := softly(30 * time.Second)
	want[0].After = askAgainAfter
	if d := cmp.Diff(want, asks(effects)); d != "" {
		t.Errorf("while the VM is created: %s", d)
	}
}

// The answer to a soft stop may arrive when a hard one was requested and Propolis has not
// accepted that.
func TestAnswerToAStopThatWasInterrupted(t *testing.T) {
	t.Parallel()
	soft := Answered{Action: AskStop, Until: epochStart.Add(time.Minute)}
	s, _ := stopping(t, Stop{Soft: time.Minute}, timed{time.Second, Stop{}}, timed{time.Second, soft})
	if !s.Stop.Acked.IsZero() {
		t.Error("the hard one counts as accepted")
	}
	if s, _ = Step(s, Answered{Action: AskStop}, epochStart); s.Stop.Acked.IsZero() {
		t.Error("it is never accepted")
	}
	if s, _ = stopping(t, Stop{Soft: time.Minute}, timed{time.Second, soft}); s.Stop.Acked.IsZero() {
		t.Error("the soft one is never accepted")
	}
	half := 30 * time.Second
	s, _ = stopping(t, Stop{Soft: 10 * time.Second}, timed{20 * time.Second, Stop{Soft: half, Grace: &half}},
		timed{21 * time.Second, Answered{Action: AskStop, Until: epochStart.Add(10 * time.Second)}})
	if s.Stop.Acked.IsZero() {
		t.Error("the soft one is never accepted once its time has passed and the deadline was moved")
	}
}

func TestSoftReboot(t *testing.T) {
	t.Parallel()
	const soft = 20 * time.Minute
	s, effects := run(t, after(Reboot{Soft: soft})...)
	if d := cmp.Diff([]Ask{{Action: AskReboot, Until: epochStart.Add(soft)}}, asks(effects)); d != "" {
		t.Error(d)
	}
	if _, effects = Step(s, Reboot{Soft: soft}, epochStart); len(asks(effects)) != 0 {
		t.Errorf("the same one is forwarded again: %+v", effects)
	}
	hard, effects := Step(s, Reboot{}, epochStart)
	if d := cmp.Diff([]Ask{{Action: AskReboot}}, asks(effects)); d != "" {
		t.Errorf("a hard one: %s", d)
	}
	for name, tt := range map[string]struct {
		s    State
		want time.Duration
	}{"soft": {s, soft + SoftMargin}, "hard": {hard, testLimits.RebootTimeout}} {
		if got, _ := Step(tt.s, Answered{Action: AskReboot}, epochStart); got.Armed.For != ForReboot || got.Armed.At.Sub(epochStart) != tt.want {
			t.Errorf("%s: armed %+v", name, got.Armed)
		}
	}
}

// A hard reboot after a soft one that was accepted brings the deadline forward, and a later
// soft one does not extend it.
func TestHardRebootInterruptsASoftOne(t *testing.T) {
	t.Parallel()
	later := epochStart.Add(time.Minute)
	s, _ := run(t, after(Reboot{Soft: 20 * time.Minute}, Answered{Action: AskReboot})...)
	s, effects := Step(s, Reboot{}, later)
	if d := cmp.Diff([]Ask{{Action: AskReboot}}, asks(effects)); d != "" {
		t.Error(d)
	}
	s, _ = Step(s, Answered{Action: AskReboot}, later)
	if got := s.Armed.At.Sub(later); got != testLimits.RebootTimeout || s.Record.VMM.State != WireRebooting {
		t.Errorf("%s, armed %+v", s.Record.VMM.State, s.Armed)
	}
	armed := s.Armed
	for _, in := range []Input{Reboot{Soft: 20 * time.Minute}, Answered{Action: AskReboot}} {
		s, _ = Step(s, in, later.Add(time.Minute))
	}
	if d := cmp.Diff(armed, s.Armed); d != "" {
		t.Errorf("a soft one after it: %s", d)
	}
}

// While a guest is given time it stays Running: a new process that sees so does not take
// the reboot for done, nor does it lose its deadline.
func TestARebootIsNotOverBecauseTheAgentRestarts(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after(Reboot{Soft: time.Minute}, Answered{Action: AskReboot})...)
	at := s.Armed.At
	for _, in := range []Input{Resumed{}, Observed{State: PropolisRunning, Gen: s.Propolis.Gen}} {
		s, _ = Step(s, in, epochStart)
	}
	if s.Record.VMM.State != WireRebooting || s.Armed.For != ForReboot || !s.Armed.At.Equal(at) {
		t.Errorf("%s, armed %+v", s.Record.VMM.State, s.Armed)
	}
	s, _ = Step(s, Observed{State: PropolisRunning, Gen: s.Propolis.Gen + 2}, epochStart)
	if s.Record.VMM.State != WireRunning || s.Armed.For != ForNothing {
		t.Errorf("after the reboot: %s, armed %+v", s.Record.VMM.State, s.Armed)
	}
}

func TestStopSupersedesASoftReboot(t *testing.T) {
	t.Parallel()
	s, effects := run(t, after(Reboot{Soft: time.Hour}, Answered{Action: AskReboot}, Stop{By: ByNexus})...)
	if d := cmp.Diff([]Ask{{Action: AskStop}}, asks(effects)); d != "" || s.Armed.At.Sub(epochStart) != testLimits.StopGrace {
		t.Errorf("armed %+v: %s", s.Armed, d)
	}
}
