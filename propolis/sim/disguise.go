package sim

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
)

// disguise returns an answer of the API as changed by faults of its content.
func (s *Server) disguise(a server.Answer) server.Answer {
	f := s.Faults()
	switch body := a.Body.(type) {
	case server.View:
		body.Migration = f.migrations(body.Migration)
		a.Body = body
	case server.Migrations:
		a.Body = f.migrations(body)
	case *server.Instance:
		body.Properties = f.properties(body.Properties)
	case map[string]*server.Instance:
		body["instance"].Properties = f.properties(body["instance"].Properties)
	}
	return a
}

func (f *Faults) properties(properties json.RawMessage) json.RawMessage {
	var changed map[string]any
	if f.wrongInstance == uuid.Nil || json.Unmarshal(properties, &changed) != nil {
		return properties
	}
	changed["id"] = f.wrongInstance
	text, err := json.Marshal(changed)
	if err != nil {
		panic(err) // What was decoded can be encoded.
	}
	return text
}

func (f *Faults) migrations(m server.Migrations) server.Migrations {
	if id := f.unknownMigration; id != uuid.Nil {
		for _, side := range []**server.Migration{&m.In, &m.Out} {
			if *side != nil {
				*side = &server.Migration{ID: id, State: (*side).State}
			}
		}
		if m == (server.Migrations{}) {
			m.Out = &server.Migration{ID: id, State: server.ErrorPhase}
		}
	}
	switch {
	case !f.bothMigrations:
	case m.Out != nil: // It was the last one.
		m.In = m.Out
	default:
		m.Out = m.In
	}
	return m
}
