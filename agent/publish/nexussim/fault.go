package nexussim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Fault is one way in which the simulated Nexus misbehaves.
type Fault struct {
	// Name is one of those that Faults lists.
	Name string
	// Value is the fault's argument as it was written; empty if it takes none.
	Value string
	// VMM limits the fault to updates of one VMM; nil means every request.
	VMM uuid.UUID

	delay   time.Duration
	status  int
	percent float64
}

// The faults' names.
const (
	FaultRefuse      = "refuse"
	FaultSilent      = "silent"
	FaultStatus      = "status"
	FaultGarbage     = "garbage"
	FaultHalf        = "half"
	FaultReset       = "reset"
	FaultLostAnswer  = "lost-answer"
	FaultDelay       = "delay"
	FaultFailPercent = "fail-percent"
	FaultStaleAccept = "stale-accept"
)

// A FaultDoc describes a fault for a help text.
type FaultDoc struct {
	Name string
	// Value names the argument; empty if there is none.
	Value string
	Text  string
}

// Faults lists every fault in the order in which they are tried.
func Faults() []FaultDoc {
	return []FaultDoc{
		{FaultDelay, "DURATION", "wait this long before anything else"},
		{FaultRefuse, "", "close the port: connections are refused until the fault is lifted"},
		{FaultReset, "", "reset the connection instead of answering; nothing is stored"},
		{FaultSilent, "", "read the request and never answer it; nothing is stored"},
		{FaultStatus, "CODE", "answer with this status (200 to 599, not 204); nothing is stored"},
		{FaultFailPercent, "N", "answer N percent of the updates with 500, by the seed"},
		{FaultGarbage, "", "answer 200 with rubbish; nothing is stored"},
		{FaultStaleAccept, "", "answer 204 and store nothing: an acknowledgement that is a lie"},
		{FaultHalf, "", "store the update, send half an answer, then nothing"},
		{FaultLostAnswer, "", "store the update, then reset the connection"},
	}
}

// maxDelay bounds the delay fault: longer than any client of Nexus waits.
const maxDelay = time.Hour

// ParseFault reads NAME[=VALUE][@VMM], such as "silent", "delay=250ms" or
// "status=503@5bb1ae42-6ea5-4d3c-8f0e-6f2f5f3c9d11".
func ParseFault(spec string) (Fault, error) {
	rest, vmm, scoped := strings.Cut(spec, "@")
	name, value, hasValue := strings.Cut(rest, "=")
	f := Fault{Name: name, Value: value}
	if scoped {
		id, err := uuid.Parse(vmm)
		if err != nil {
			return Fault{}, fmt.Errorf("fault %q: VMM: %w", spec, err)
		}
		f.VMM = id
	}
	i := slices.IndexFunc(Faults(), func(d FaultDoc) bool { return d.Name == name })
	switch {
	case i < 0:
		return Fault{}, fmt.Errorf("fault %q: no fault is called %q", spec, name)
	case hasValue != (Faults()[i].Value != ""):
		return Fault{}, fmt.Errorf("fault %q: want %s", spec, Faults()[i].Usage())
	case scoped && name == FaultRefuse:
		return Fault{}, fmt.Errorf("fault %q: a closed port is closed to every VMM", spec)
	}
	if err := f.parseValue(); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", spec, err)
	}
	return f, nil
}

func (f *Fault) parseValue() (err error) {
	switch f.Name {
	case FaultDelay:
		f.delay, err = time.ParseDuration(f.Value)
		if err == nil && (f.delay < 0 || f.delay > maxDelay) {
			err = fmt.Errorf("want a delay of at most %v", maxDelay)
		}
	case FaultStatus:
		f.status, err = strconv.Atoi(f.Value)
		// An interim status is no answer, and a 204 would be an acknowledgement.
		if err == nil && (f.status < 200 || f.status > 599 || f.status == http.StatusNoContent) {
			err = fmt.Errorf("want a status from 200 to 599 other than 204")
		}
	case FaultFailPercent:
		f.percent, err = strconv.ParseFloat(f.Value, 64)
		if err == nil && !(f.percent >= 0 && f.percent <= 100) {
			err = fmt.Errorf("want a percentage from 0 to 100")
		}
	}
	return err
}

// Usage says how the fault is written.
func (d FaultDoc) Usage() string {
	if d.Value == "" {
		return d.Name
	}
	return d.Name + "=" + d.Value
}

// String writes the fault as ParseFault reads it.
func (f Fault) String() string {
	s := f.Name
	if f.Value != "" {
		s += "=" + f.Value
	}
	if f.VMM != uuid.Nil {
		s += "@" + f.VMM.String()
	}
	return s
}

// faultSet is what is wrong at one moment. It is not changed once made.
type faultSet []Fault

// find returns the fault of that name that applies to the VMM. One that names
// the VMM wins over one for all.
func (fs faultSet) find(name string, id uuid.UUID) (Fault, bool) {
	var all Fault
	for _, f := range fs {
		switch {
		case f.Name != name:
		case f.VMM == uuid.Nil:
			all = f
		case f.VMM == id:
			return f, true
		}
	}
	return all, all.Name != ""
}

func (fs faultSet) has(name string, id uuid.UUID) bool {
	_, ok := fs.find(name, id)
	return ok
}

func (fs faultSet) strings() []string {
	out := make([]string, 0, len(fs))
	for _, f := range fs {
		out = append(out, f.String())
	}
	return out
}
