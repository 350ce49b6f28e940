package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/api"
)

// A sink is a discarded answer.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(b []byte) (int, error) { return len(b), nil }
func (s sink) WriteHeader(int)             {}

// BenchmarkGetState also reports its time relative to a bare echo handler that writes
// the same record.
func BenchmarkGetState(b *testing.B) {
	bare := echo.New()
	bare.GET("/vmms/:id/state", func(c echo.Context) error { return c.JSON(http.StatusOK, record()) })
	ours := api.New(&fakeAgent{}, api.Options{Log: zerolog.Nop()}).Handler()
	req, _ := http.NewRequest("GET", stateURL, nil)
	req.Header.Set("api-version", "48.0.0")
	run := func(h http.Handler, n int) time.Duration {
		began := time.Now()
		for range n {
			h.ServeHTTP(sink{http.Header{}}, req)
		}
		return time.Since(began)
	}
	run(bare, 100)
	run(ours, 100)
	b.ReportAllocs()
	b.ResetTimer()
	took := run(ours, b.N)
	b.StopTimer()
	b.ReportMetric(float64(took)/float64(run(bare, b.N)), "x-bare-echo")
}
