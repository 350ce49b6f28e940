package publish

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func BenchmarkPut(b *testing.B) {
	nexus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer nexus.Close()
	c := New(Config{Addresses: []string{nexus.URL}})
	defer closeClient(b, c)
	id := uuid.New()
	floor := barePUT(b, nexus.URL+"/vmms/"+id.String())
	gen := uint64(0)
	for b.Loop() {
		gen++
		if a := c.Put(b.Context(), id, running(gen)); a.Verdict != Acked {
			b.Fatal(a.Err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(floor), "x/bare-put")
}

// barePUT measures a PUT over a new connection without the client.
func barePUT(b *testing.B, to string) time.Duration {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	const n = 500
	var begin time.Time
	for i := range n + 50 {
		if i == 50 { // the first ones are a warm-up
			begin = time.Now()
		}
		req, err := http.NewRequest(http.MethodPut, to, strings.NewReader(fmt.Sprintf("%0200d", i)))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	return time.Since(begin) / n
}
