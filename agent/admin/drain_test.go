package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/disposition"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	s := serve(t, admintest.New(admin.About{}, status(1)))
	check := func(now disposition.Status, err error, value disposition.Value, grace time.Duration) {
		t.Helper()
		if err != nil || now.Disposition != value || now.VMMs != 1 || (now.Operator == nil) != (value == disposition.Available) {
			t.Fatalf("%+v, %v; want %s", now, err, value)
		}
		if now.Operator != nil && (now.Operator.Grace != grace || now.Operator.By != me(t)) {
			t.Errorf("the drain is %+v, want a grace of %s", now.Operator, grace)
		}
	}
	now, err := s.Drain(t.Context())
	check(now, err, disposition.Available, 0)
	now, err = s.BeginDrain(t.Context(), nil)
	check(now, err, disposition.Evacuating, 10*time.Minute)
	grace := 90 * time.Second
	now, err = s.BeginDrain(t.Context(), &grace)
	check(now, err, disposition.Evacuating, grace)
	now, err = s.Drain(t.Context())
	check(now, err, disposition.Evacuating, grace)
	for range 2 {
		now, err = s.EndDrain(t.Context())
		check(now, err, disposition.Available, 0)
	}
	for _, query := range []string{"grace=-1s", "grace=5", "grace=x"} {
		code, body := s.do("PUT", "/v1/drain?"+query, nil)
		if code != http.StatusBadRequest || !strings.Contains(body, "grace") {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
	if now, err := s.Drain(t.Context()); err != nil || now.Operator != nil {
		t.Errorf("a refused drain is in force: %+v, %v", now, err)
	}
}
