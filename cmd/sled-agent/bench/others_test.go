package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/propolis/sim"
)

// othersMode makes this program act as Nexus and all Propolis servers of a sled, in another
// process so that their memory is not counted as the agent's.
const othersMode = "be-the-others"

// others holds the addresses of Nexus and the Propolis servers.
type others struct {
	Nexus    string           `json:"nexus"`
	Propolis []netip.AddrPort `json:"propolis"`
}

// startOthers starts a Nexus and n Propolis servers, until the benchmark ends.
func startOthers(b testing.TB, n int) others {
	b.Helper()
	return startMode[others](b, othersMode, strconv.Itoa(n))
}

// startMode executes this program in a mode, until the benchmark ends, and returns what it
// says of itself first.
func startMode[T any](b testing.TB, mode, argument string) (said T) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self, mode, argument)
	cmd.Stderr = os.Stderr
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		b.Fatal(inErr, outErr)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close() // ends it
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&said); err != nil {
		b.Fatalf("%s did not say where it serves: %v", mode, err)
	}
	return said
}

// say prints what a mode says of itself, and waits until standard input ends.
func say(what any) error {
	if err := json.NewEncoder(os.Stdout).Encode(what); err != nil {
		return fmt.Errorf("say where the servers are: %w", err)
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// nexusMode makes this program act as a Nexus that acknowledges every record.
const nexusMode = "be-nexus"

func serveNexus(string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})}
	defer h.Close()
	go func() { _ = h.Serve(l) }()
	return say("http://" + l.Addr().String())
}

// serveOthers serves count Propolis servers and a Nexus, prints their addresses on standard
// output, and returns when standard input ends.
func serveOthers(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return fmt.Errorf("read count of servers: %w", err)
	}
	nexus := nexussim.New(nexussim.Options{})
	defer nexus.Close()
	var o others
	if o.Nexus, err = nexus.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		o.Propolis = append(o.Propolis, l.Addr().(*net.TCPAddr).AddrPort())
		s := sim.New(sim.Options{})
		defer s.Close()
		h := &http.Server{Handler: waiting(s.Handler()), ReadHeaderTimeout: time.Minute}
		defer h.Close()
		go func() { _ = h.Serve(l) }()
	}
	return say(o)
}

// waitPath is the path of a request that is never answered.
const waitPath = "/wait"

func waiting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == waitPath {
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	})
}
