package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A Call is one run of a command, as the host noted it.
type Call struct {
	ID   string
	PID  int
	Name string
	Args []string
	// Env are the names of the environment variables it had.
	Env   []string
	Start time.Time
	// End is zero and Exit -1 for one that still runs or was killed.
	End  time.Time
	Exit int
}

// String is the call as one would type it.
func (c Call) String() string { return strings.Join(append([]string{c.Name}, c.Args...), " ") }

func (s *Store) logStart(name string, args []string) Call {
	now := time.Now()
	c := Call{PID: os.Getpid(), Name: name, Args: args, Start: now, Exit: -1}
	c.ID = fmt.Sprint(c.PID, ".", now.UnixNano())
	for _, v := range os.Environ() {
		variable, _, _ := strings.Cut(v, "=")
		c.Env = append(c.Env, variable)
	}
	s.appendCall(c)
	return c
}

func (s *Store) logEnd(c Call, exit int) {
	s.appendCall(Call{ID: c.ID, End: time.Now(), Exit: exit})
}

func (s *Store) appendCall(c Call) {
	f := must(os.OpenFile(s.path("calls"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600))
	defer f.Close()
	_, err := f.Write(append(must(json.Marshal(c)), '\n'))
	check(err)
}

// Calls returns every call so far, in the order of their starts.
func (s *Store) Calls() []Call {
	data, err := os.ReadFile(s.path("calls"))
	if os.IsNotExist(err) {
		return nil
	}
	check(err)
	data = data[:bytes.LastIndexByte(data, '\n')+1] // the last may still be written
	var calls []Call
	place := make(map[string]int)
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var c Call
		if err := d.Decode(&c); err == io.EOF {
			return calls
		} else {
			check(err)
		}
		if i, started := place[c.ID]; started {
			calls[i].End, calls[i].Exit = c.End, c.Exit
			continue
		}
		place[c.ID] = len(calls)
		calls = append(calls, c)
	}
}
