package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// MaxMigrationFrame is the longest frame that the Machines of a migration may send, in bytes. A
// spec fits, like the request that it came with.
const MaxMigrationFrame = dropshot.MaxBody + 64<<10

// sendAway begins a migration to the server that has asked for it, and returns when it is over.
func (s *Server) sendAway(w http.ResponseWriter, r *http.Request, id uuid.UUID) *dropshot.Error {
	v, m, bad := s.migrator()
	if bad != nil {
		return bad
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{m.Protocol()}})
	if err != nil {
		return nil // It has answered.
	}
	defer conn.CloseNow()
	if conn.Subprotocol() != m.Protocol() {
		_ = conn.Close(websocket.StatusPolicyViolation, "this VM migrates with "+m.Protocol())
		return nil
	}
	conn.SetReadLimit(MaxMigrationFrame)
	var ended <-chan struct{}
	v.Enter(func() {
		if v.mayMigrate() == take {
			ended = m.Connect(conn)
			v.MigrateOut(id)
		}
	})
	if ended == nil {
		_ = conn.Close(websocket.StatusTryAgainLater, "the VM cannot migrate any more")
		return nil
	}
	<-ended
	return nil
}

// migrator returns the VM if it could migrate now.
func (s *Server) migrator() (*VM, Migrator, *dropshot.Error) {
	s.lock()
	defer s.unlock()
	if s.vm == nil || s.vm.stage != active {
		return nil, nil, NoInstance().Body.(*dropshot.Error)
	}
	m, can := s.vm.machine.(Migrator)
	if !can {
		return nil, nil, dropshot.Plain(http.StatusNotFound, "")
	}
	if ruling := s.vm.mayMigrate(); ruling != take {
		return nil, nil, dropshot.Plain(http.StatusForbidden, "instance cannot migrate: "+string(ruling))
	}
	return s.vm, m, nil
}

// mayMigrate rules on a migration out of this server.
func (v *VM) mayMigrate() ruling {
	if v.stage != active {
		return hasEnded
	}
	return rule(v.standing, v.rebootQueued, MigrateOut)
}

// MigrateOut asks for a migration out of this server. It returns false if the VM cannot
// migrate now.
func (v *VM) MigrateOut(id uuid.UUID) bool {
	if v.mayMigrate() != take {
		return false
	}
	v.outID = id
	v.ask(MigrateOut)
	return true
}

// Learns tells what a VM that arrives consists of, before Made.
func (v *VM) Learns(e *Ensured) { v.ensured = e }

// Arriving returns what a migration target consists of: the source's spec with the replaced
// components. Whatever a PUT /instance would be refused for is refused.
func (e *Ensured) Arriving(source json.RawMessage) (*Ensured, error) {
	spec, err := e.replaceIn(source)
	if err != nil {
		return nil, err
	}
	body := encode(map[string]any{"properties": e.Properties,
		"init": map[string]any{"method": "Spec", "value": map[string]any{"spec": spec}}})
	_, bad := api().Operation("instance_ensure").Check(body)
	if bad != nil { // The source may have been made with an older version.
		_, older := api5().Operation("instance_ensure").Check(body)
		if older != nil {
			return nil, fmt.Errorf("source's spec: %w", bad)
		}
	}
	arriving, refused := decodeEnsure(body)
	if refused != nil {
		return nil, errors.New("source's spec: " + refused.Message)
	}
	arriving.Target, arriving.Migration, arriving.Source, arriving.replaced = true, e.Migration, e.Source, e.replaced
	return arriving, nil
}

// replaceIn returns the source's spec with the replaced components. Each has one of the same type
// to replace.
func (e *Ensured) replaceIn(source json.RawMessage) (json.RawMessage, error) {
	var spec, components map[string]json.RawMessage
	err := json.Unmarshal(source, &spec)
	if err == nil {
		err = json.Unmarshal(spec["components"], &components)
	}
	if err != nil {
		return nil, fmt.Errorf("source's spec: %w", err)
	}
	for name, c := range e.replaced {
		if was, is := typeOf(components[name]), typeOf(c); was != is {
			return nil, fmt.Errorf("component %q cannot be replaced: it is %q at the source and %q here", name, was, is)
		}
	}
	maps.Copy(components, e.replaced)
	spec["components"] = encode(components)
	return encode(spec), nil
}

// typeOf returns a component's type; empty if it is none.
func typeOf(text json.RawMessage) string {
	var c struct{ Type string }
	if err := json.Unmarshal(text, &c); err != nil {
		return ""
	}
	return c.Type
}
