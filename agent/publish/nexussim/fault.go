package nexussim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// A Fault is one misbehaviour of the simulated Nexus.
type Fault struct {
	// Name is that of one of Faults.
	Name string
	// Value is the fault's argument as text; empty if it takes none.
	Value string
	// VMM limits the fault to updates of one VMM; nil means every request.
	VMM uuid.UUID

	delay   time.Duration
	status  int
	percent float64
}

// A FaultKind describes a fault.
type FaultKind struct {
	Name string
	// Value names the argument; empty if there is none.
	Value string
	Text  string

	// act returns the handler that runs instead of the answer, or nil for none this
	// time. It is nil for faults that are implemented elsewhere.
	act func(*Server, *call, Fault) http.HandlerFunc
	// stored reports whether the update is stored first.
	stored bool
}

// Faults that are implemented outside of faultKind.act. Refuse and cut affect the port
// and not single updates, those of DNS no update at all.
const (
	FaultDelay       = "delay"
	FaultRefuse      = "refuse"
	FaultCut         = "cut"
	FaultStaleAccept = "stale-accept"
	FaultDNSEmpty    = "dns-empty"
	FaultDNSFail     = "dns-fail"
	FaultDNSSilent   = "dns-silent"
)

// ofAll are the faults that cannot be limited to one VMM.
var ofAll = []string{FaultRefuse, FaultCut, FaultDNSEmpty, FaultDNSFail, FaultDNSSilent}

// Faults returns all kinds of faults in the order of precedence.
func Faults() []FaultKind { return faultKinds }

var faultKinds = []FaultKind{
	{FaultDelay, "DURATION", "wait this long before anything else", nil, false},
	{FaultRefuse, "", "close the port: connections are refused until the fault is lifted", as(reset), false},
	{FaultCut, "", "reset each new connection before anything is read from it", as(reset), false},
	{"reset", "", "reset the connection instead of answering; nothing is stored", as(reset), false},
	{"silent", "", "read the request and never answer it; nothing is stored", as(silence), false},
	{"status", "CODE", "answer with this status (200 to 599, not 204) and Nexus's error body; nothing is stored",
		func(_ *Server, c *call, f Fault) http.HandlerFunc { return c.failWith(f.status) }, false},
	{"page", "CODE", "answer with this status and an HTML page, as an ingress; nothing is stored",
		func(_ *Server, c *call, f Fault) http.HandlerFunc { return c.ingress(f.status, true) }, false},
	{"empty", "CODE", "answer with this status and no body, as an ingress; nothing is stored",
		func(_ *Server, c *call, f Fault) http.HandlerFunc { return c.ingress(f.status, false) }, false},
	{"fail-percent", "N", "answer N percent of the updates with 500, by the seed",
		func(s *Server, c *call, f Fault) http.HandlerFunc {
			if !s.chance(f.percent) {
				return nil
			}
			return c.failWith(http.StatusInternalServerError)
		}, false},
	{"garbage", "", "answer 200 with rubbish; nothing is stored",
		func(_ *Server, c *call, _ Fault) http.HandlerFunc { c.put.Answer = http.StatusOK; return garbage }, false},
	{"switch", "", "answer 101 Switching Protocols and keep the connection; nothing is stored",
		wire(dropshot.Raw{Head: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n", Hold: true}), false},
	{"interim", "", "send 100 Continue without end; nothing is stored",
		wire(dropshot.Raw{Again: "HTTP/1.1 100 Continue\r\n\r\n"}), false},
	{"endless-header", "", "send a header without end; nothing is stored",
		wire(dropshot.Raw{Head: "HTTP/1.1 204 No Content\r\nX-Filler: ", Again: "x"}), false},
	{"endless-body", "", "answer 503 with a body without end; nothing is stored",
		wire(dropshot.Raw{Head: "HTTP/1.1 503 Service Unavailable\r\n\r\n", Again: "x"}), false},
	{"trickle", "", "send a header at 10 bytes a second; nothing is stored",
		wire(dropshot.Raw{Head: "HTTP/1.1 204 No Content\r\nX-Filler: ", Again: "x", Pause: 100 * time.Millisecond}), false},
	{"hang-body", "", "answer 503, send half the body, then nothing; nothing is stored",
		wire(dropshot.Raw{Head: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{", Hold: true}), false},
	{FaultStaleAccept, "", "answer 204 and store nothing: an acknowledgement that is a lie", nil, false},
	{"half", "", "store the update, send half an answer, then nothing",
		wire(dropshot.Raw{Head: "HTTP/1.1 204 No Content\r\nX-Request-Id: ", Hold: true}), true},
	{"lost-answer", "", "store the update, then reset the connection", as(reset), true},
	{FaultDNSEmpty, "", "answer DNS without a replica", nil, false},
	{FaultDNSFail, "", "answer DNS with SERVFAIL", nil, false},
	{FaultDNSSilent, "", "do not answer DNS", nil, false},
}

// maxDelay is the maximum of the delay fault, longer than any client waits.
const maxDelay = time.Hour

// ParseFault parses NAME[=VALUE][@VMM], such as "silent", "delay=250ms" or
// "status=503@5bb1ae42-6ea5-4d3c-8f0e-6f2f5f3c9d11".
func ParseFault(spec string) (f Fault, err error) {
	rest, vmm, scoped := strings.Cut(spec, "@")
	name, value, hasValue := strings.Cut(rest, "=")
	f = Fault{Name: name, Value: value}
	i := slices.IndexFunc(faultKinds, func(k FaultKind) bool { return k.Name == name })
	switch {
	case i < 0:
		err = fmt.Errorf("unknown fault %q", name)
	case hasValue != (faultKinds[i].Value != ""):
		err = errors.New("want " + faultKinds[i].Usage())
	case scoped && slices.Contains(ofAll, name):
		err = errors.New("this fault cannot be limited to one VMM")
	case scoped:
		if f.VMM, err = uuid.Parse(vmm); err != nil {
			err = fmt.Errorf("VMM: %w", err)
		}
	}
	if err == nil {
		err = f.parseValue()
	}
	if err != nil {
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
	case "status", "page", "empty":
		f.status, err = strconv.Atoi(f.Value)
		// An interim status is not an answer, and a 204 would be an acknowledgement.
		if err == nil && (f.status < 200 || f.status > 599 || f.status == http.StatusNoContent) {
			err = errors.New("want a status from 200 to 599 other than 204")
		}
	case "fail-percent":
		f.percent, err = strconv.ParseFloat(f.Value, 64)
		if err == nil && !(f.percent >= 0 && f.percent <= 100) {
			err = errors.New("want a percentage from 0 to 100")
		}
	}
	return err
}

// Usage returns the fault's syntax.
func (d FaultKind) Usage() string {
	if d.Value == "" {
		return d.Name
	}
	return d.Name + "=" + d.Value
}

// String formats the fault for ParseFault.
func (f Fault) String() string {
	s := FaultKind{Name: f.Name, Value: f.Value}.Usage()
	if f.VMM != uuid.Nil {
		s += "@" + f.VMM.String()
	}
	return s
}

// faultSet is the set of faults in force. It is immutable.
type faultSet []Fault

// find returns the fault of that name that applies to the VMM. One for this VMM takes
// precedence over one for all.
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
