package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// A guest is a Propolis server's console: it shows "login: ", answers what is typed in
// capitals, and ends at "bye".
func guest(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/history") {
		_, _ = io.WriteString(w, `{"data": [104, 105, 10], "last_byte_offset": 2}`)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	_ = conn.Write(r.Context(), websocket.MessageText, []byte("a note"))
	for said := "login: "; said != "BYE"; {
		if conn.Write(r.Context(), websocket.MessageBinary, []byte(said)) != nil {
			return
		}
		_, typed, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		said = strings.ToUpper(string(typed))
	}
	_ = conn.Close(websocket.StatusNormalClosure, "the VM has ended")
}

// keys is an input whose reads are single texts. It stays open after them.
type keys chan string

func (k keys) Read(p []byte) (int, error) {
	text, open := <-k
	if !open {
		return 0, io.EOF
	}
	return copy(p, text), nil
}

func typing(k keys) option { return func(e *Env) { e.In = k } }

func sledWithGuest(t *testing.T) *sled {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(guest))
	t.Cleanup(server.Close)
	vm := well()
	vm.Addr = strings.TrimPrefix(server.URL, "http://")
	return newSled(t, vm)
}

func TestConsole(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		typed []string
		said  string
	}{
		"the VM ends":       {[]string{"bye"}, "the console was closed: the VM has ended"},
		"escape":            {[]string{"\x1d"}, ""},
		"escape in a paste": {[]string{"bye\x1dmore"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, k := sledWithGuest(t), make(keys, 9)
			defer close(k)
			for _, text := range tc.typed {
				k <- text
			}
			r := s.must("vmm console "+well().ID.String(), typing(k))
			if strings.Contains(r.out, "note") || !strings.Contains(r.err, "leave it with Ctrl-]") || !strings.Contains(r.err, tc.said) {
				t.Errorf("printed %q and %q", r.out, r.err)
			}
		})
	}
}

// What the console shows is printed as it is, before the end of the input.
func TestConsoleShows(t *testing.T) {
	t.Parallel()
	s, k := sledWithGuest(t), make(keys)
	shown, out := io.Pipe()
	done := make(chan result)
	go func() { done <- s.run("vmm console "+well().ID.String(), typing(k), func(e *Env) { e.Out = out }) }()
	for _, next := range []struct{ shown, then string }{{"login: ", "root\r"}, {"ROOT\r", "\x1d"}} {
		got := make([]byte, len(next.shown))
		if _, err := io.ReadFull(shown, got); err != nil || string(got) != next.shown {
			t.Errorf("shown: %q, %v", got, err)
		}
		k <- next.then
	}
	if r := <-done; r.code != exitDone {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

func TestConsoleHistory(t *testing.T) {
	t.Parallel()
	if r := sledWithGuest(t).must("vmm console --history " + well().ID.String()); r.out != "hi\n" || r.err != "" {
		t.Errorf("printed %q and %q", r.out, r.err)
	}
}

func TestConsoleOfNobody(t *testing.T) {
	t.Parallel()
	r := newSled(t).run("vmm console 12345678-0000-4000-8000-000000000000")
	if r.code != exitNotFound || !strings.Contains(r.err, "no such VMM") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}
