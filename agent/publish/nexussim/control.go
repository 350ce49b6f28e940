package nexussim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// isControl distinguishes a control request from one of the internal API, which has
// only a PUT below /vmms.
func isControl(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/sim/") ||
		r.Method == http.MethodGet && (r.URL.Path == "/vmms" || strings.HasPrefix(r.URL.Path, "/vmms/"))
}

// controlRoutes serves the control requests. On the main port a request cannot close
// that port, since it would cut its own answer.
func (s *Server) controlRoutes(onMain bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /vmms", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Rows()) })
	mux.HandleFunc("GET /vmms/{id}", s.getRow)
	mux.HandleFunc("GET /sim/puts", s.getPuts)
	mux.HandleFunc("GET /sim/violations", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Violations()) })
	mux.HandleFunc("GET /sim/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Faults()) })
	mux.HandleFunc("PUT /sim/faults", func(w http.ResponseWriter, r *http.Request) { s.putFaults(w, r, onMain) })
	mux.HandleFunc("POST /sim/vmms", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ IDs []uuid.UUID }
		change(w, r, &body, func() error { s.SetKnown(body.IDs...); return nil })
	})
	mux.HandleFunc("POST /sim/migrations", s.postMigration)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dropshot.SetRequestID(w)
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) getRow(w http.ResponseWriter, r *http.Request) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		dropshot.BadRequest("VMM: " + err.Error()).Write(w)
		return
	}
	row, ok := s.Row(id)
	if !ok {
		refusal(http.StatusNotFound, "no update of VMM "+id.String()+" has arrived").Write(w)
		return
	}
	reply(w, row)
}

// getPuts returns the stored PUTs with numbers greater than ?since.
func (s *Server) getPuts(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseUint(cmp.Or(r.URL.Query().Get("since"), "0"), 10, 64)
	if err != nil {
		dropshot.BadRequest("since: " + err.Error()).Write(w)
		return
	}
	puts, _ := s.Puts(0)
	puts = slices.DeleteFunc(puts, func(p Put) bool { return p.Seq <= since })
	slices.SortFunc(puts, func(a, b Put) int { return cmp.Compare(a.Seq, b.Seq) })
	reply(w, puts)
}

func (s *Server) putFaults(w http.ResponseWriter, r *http.Request, onMain bool) {
	var specs []string
	change(w, r, &specs, func() error {
		for _, name := range []string{FaultRefuse, FaultCut} {
			if onMain && slices.Contains(specs, name) {
				return errors.New(name + " closes this port: set it through the control port")
			}
		}
		return s.SetFault(specs...)
	})
}

func (s *Server) postMigration(w http.ResponseWriter, r *http.Request) {
	var m Migration
	change(w, r, &m, func() error {
		if m.ID == uuid.Nil {
			return errors.New("id: missing")
		}
		s.SetMigration(m)
		return nil
	})
}

// change decodes a control request's body and calls do. Unknown keys are errors, so that
// a misspelt one is noticed.
func change(w http.ResponseWriter, r *http.Request, into any, do func() error) {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, dropshot.MaxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err != nil {
		err = fmt.Errorf("body: %w", err)
	} else {
		err = do()
	}
	if err != nil {
		dropshot.BadRequest(err.Error()).Write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // the client may have disconnected
}
