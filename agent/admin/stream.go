package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// maxStreams is the number of event streams open at a time.
	maxStreams = 16
	// streamBuffer is how many events a reader may lag before it loses some.
	streamBuffer = 256
	// streamStall is how long one write to a reader may block before the stream is
	// closed. Until then events fill the buffer only.
	streamStall = 10 * time.Second
	// maxPast is the maximum of EventQuery.Past.
	maxPast = 10_000
)

// An EventQuery selects the events of a stream.
type EventQuery struct {
	// VMM selects one VMM; uuid.Nil selects all.
	VMM uuid.UUID
	// Past is the number of latest events sent first, at most 10,000.
	Past int
	// Follow also sends events that happen later.
	Follow bool
}

func (s *Server) events(c echo.Context) error {
	query, err := eventQuery(c)
	if err != nil {
		return err
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return &Error{Status: http.StatusServiceUnavailable, Message: "too many event streams are open"}
	}
	// Subscribing before reading the past ones loses no event in between.
	live, cancel := s.agent.Subscribe(streamBuffer)
	defer cancel()
	past, err := s.past(query)
	if err != nil {
		return err
	}
	out := newStream(c.Response())
	for _, e := range past {
		if out.send(e) != nil {
			return nil // the client disconnected or stalls
		}
	}
	if out.flush() != nil || !query.Follow {
		return nil
	}
	s.follow(c.Request().Context().Done(), out, live, newFilter(query.VMM, past))
	return nil
}

// follow sends events until the client disconnects, or the Server or the agent ends.
func (s *Server) follow(left <-chan struct{}, out *stream, live <-chan NamedEvent, wanted *filter) {
	for {
		select {
		case <-left:
			return
		case <-s.ended:
			return
		case e, open := <-live:
			if !open {
				return
			}
			if !wanted.pass(&e) {
				continue
			}
			if out.send(e) != nil || out.flush() != nil {
				return
			}
		}
	}
}

// past returns the latest events of the VMMs, oldest first.
func (s *Server) past(query EventQuery) ([]NamedEvent, error) {
	if query.VMM != uuid.Nil {
		status, err := s.agent.Show(query.VMM)
		if err != nil {
			return nil, err
		}
		return newest(named(status), query.Past), nil
	}
	if query.Past == 0 {
		return nil, nil
	}
	var all []NamedEvent
	for _, st := range s.agent.List() {
		if full, err := s.agent.Show(st.ID); err == nil { // else it ended in between
			all = append(all, named(full)...)
		}
	}
	slices.SortStableFunc(all, func(a, b NamedEvent) int { return a.At.Compare(b.At) })
	return newest(all, query.Past), nil
}

func named(status vmm.Status) []NamedEvent {
	events := make([]NamedEvent, 0, len(status.Events))
	for _, e := range status.Events {
		events = append(events, NamedEvent{VMM: status.ID, Event: e})
	}
	return events
}

func newest(events []NamedEvent, n int) []NamedEvent { return events[max(0, len(events)-n):] }

func eventQuery(c echo.Context) (EventQuery, error) {
	var q EventQuery
	var err error
	if q.Follow, err = boolParam(c, "follow", true); err != nil {
		return q, err
	}
	if text := c.QueryParam("vmm"); text != "" {
		if q.VMM, err = parseID(text); err != nil {
			return q, err
		}
	}
	if text := c.QueryParam("past"); text != "" {
		q.Past, err = strconv.Atoi(text)
		if err != nil || q.Past < 0 || q.Past > maxPast {
			return q, badRequest("past=%q: want a number from 0 to %d", text, maxPast)
		}
	}
	return q, nil
}

// stream writes one event a line, with a deadline for each write.
type stream struct {
	conn *http.ResponseController
	json *json.Encoder
}

func newStream(w *echo.Response) *stream {
	w.Header().Set(echo.HeaderContentType, "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	return &stream{conn: http.NewResponseController(w), json: json.NewEncoder(w)}
}

func (s *stream) send(e NamedEvent) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamStall))
	return s.json.Encode(e)
}

func (s *stream) flush() error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamStall))
	return s.conn.Flush()
}
