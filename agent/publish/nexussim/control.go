package nexussim

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// discardLog takes what net/http says of broken connections, which are this
// server's trade.
var discardLog = log.New(io.Discard, "", 0)

// isControl tells a control request from one of the internal API, which has
// only a PUT below /vmms.
func isControl(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/sim/") ||
		r.Method == http.MethodGet && (r.URL.Path == "/vmms" || strings.HasPrefix(r.URL.Path, "/vmms/"))
}

// controlRoutes serves what tests and scripts ask. On the main port a request
// cannot close that port: it would cut off its own answer.
func (s *Server) controlRoutes(onMain bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /vmms", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Rows()) })
	mux.HandleFunc("GET /vmms/{id}", s.getRow)
	mux.HandleFunc("GET /sim/puts", s.getPuts)
	mux.HandleFunc("GET /sim/violations", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Violations()) })
	mux.HandleFunc("GET /sim/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Faults()) })
	mux.HandleFunc("PUT /sim/faults", func(w http.ResponseWriter, r *http.Request) { s.putFaults(w, r, onMain) })
	mux.HandleFunc("POST /sim/vmms", s.postVMMs)
	mux.HandleFunc("POST /sim/migrations", s.postMigration)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setRequestID(w)
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) getRow(w http.ResponseWriter, r *http.Request) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		bad("VMM: " + err.Error()).write(w)
		return
	}
	row, ok := s.Row(id)
	if !ok {
		(&problem{status: http.StatusNotFound, message: "no update of VMM " + id.String() + " has arrived"}).write(w)
		return
	}
	reply(w, row)
}

// getPuts answers with the PUTs kept whose number is greater than ?since.
func (s *Server) getPuts(w http.ResponseWriter, r *http.Request) {
	var since uint64
	if v := r.URL.Query().Get("since"); v != "" {
		var err error
		if since, err = strconv.ParseUint(v, 10, 64); err != nil {
			bad("since: " + err.Error()).write(w)
			return
		}
	}
	puts, _ := s.Puts(0)
	puts = slices.DeleteFunc(puts, func(p Put) bool { return p.Seq <= since })
	slices.SortFunc(puts, func(a, b Put) int { return int(int64(a.Seq - b.Seq)) })
	reply(w, puts)
}

func (s *Server) putFaults(w http.ResponseWriter, r *http.Request, onMain bool) {
	var specs []string
	if !readControl(w, r, &specs) {
		return
	}
	if onMain && slices.Contains(specs, FaultRefuse) {
		bad("refuse closes this very port: set it through the control port").write(w)
		return
	}
	if err := s.SetFault(specs...); err != nil {
		bad(err.Error()).write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) postVMMs(w http.ResponseWriter, r *http.Request) {
	var body struct {
		IDs []uuid.UUID `json:"ids"`
	}
	if readControl(w, r, &body) {
		s.SetKnown(body.IDs...)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) postMigration(w http.ResponseWriter, r *http.Request) {
	var m Migration
	if !readControl(w, r, &m) {
		return
	}
	if m.ID == uuid.Nil {
		bad("id: missing").write(w)
		return
	}
	s.SetMigration(m)
	w.WriteHeader(http.StatusNoContent)
}

// readControl reads a control request's body strictly, so that a script's
// misspelt key does not go unnoticed.
func readControl(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		bad(fmt.Sprintf("body: %v", err)).write(w)
		return false
	}
	return true
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // The client may be gone.
}
