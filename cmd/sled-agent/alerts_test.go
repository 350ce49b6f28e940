package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	rulesFile     = root + "/deploy/prometheus/sled-agent.rules.yml"
	rulesTestFile = root + "/deploy/prometheus/sled-agent.rules.test.yml"
	dashboardFile = root + "/deploy/grafana/sled-agent.json"
	runbooks      = root + "/docs/runbooks"
)

// metricName matches the names of metrics in expressions; those of Prometheus's own
// collectors are not checked.
var metricName = regexp.MustCompile(`\bsled_[a-z_]+`)

// checkExpression reports metrics of an expression that are not served.
func checkExpression(t *testing.T, where, expr string) {
	t.Helper()
	all := servedMetrics()
	for _, name := range metricName.FindAllString(expr, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} { // of histograms
			base = strings.TrimSuffix(base, suffix)
		}
		if !all[name] && !all[base] {
			t.Errorf("%s uses the metric %s, which is not served", where, name)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	alertLine = regexp.MustCompile(`(?m)^ *- alert: (\w+)$`)
	exprLines = regexp.MustCompile(`(?s)expr: >-\n(.*?)\n *(?:for|labels):`)
	bookLine  = regexp.MustCompile(`(?m)^ *runbook_url: .*/docs/runbooks/(\w+)\.md$`)
)

// Each alert uses served metrics, and has tests that it fires and that it is quiet, and a
// runbook; each runbook has an alert.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rules, tests := read(t, rulesFile), read(t, rulesTestFile)
	var alerts, linked []string
	for _, m := range alertLine.FindAllStringSubmatch(rules, -1) {
		alerts = append(alerts, m[1])
		for _, does := range []string{"fires", "is quiet"} {
			if !strings.Contains(tests, "- name: "+m[1]+", "+does+"\n") {
				t.Errorf("%s does not test that %s %s", rulesTestFile, m[1], does)
			}
		}
	}
	for _, m := range bookLine.FindAllStringSubmatch(rules, -1) {
		linked = append(linked, m[1])
	}
	if len(alerts) == 0 || !slices.Equal(alerts, linked) {
		t.Errorf("the alerts are %q, their runbooks %q", alerts, linked)
	}
	exprs := exprLines.FindAllStringSubmatch(rules, -1)
	if len(exprs) != len(alerts) {
		t.Errorf("%d expressions of %d alerts", len(exprs), len(alerts))
	}
	for _, m := range exprs {
		checkExpression(t, rulesFile, m[1])
	}
	checkExpression(t, rulesTestFile, tests)
	books, err := filepath.Glob(runbooks + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	index := read(t, runbooks+"/README.md")
	for _, book := range books {
		name := strings.TrimSuffix(filepath.Base(book), ".md")
		if name == "README" {
			continue
		}
		if !slices.Contains(alerts, name) || !strings.Contains(index, "]("+name+".md)") {
			t.Errorf("runbook %s has no alert, or is not in the index", name)
		}
		checkExpression(t, book, read(t, book))
	}
	if len(books) != len(alerts)+1 {
		t.Errorf("%d runbooks and an index of %d alerts", len(books)-1, len(alerts))
	}
}

// The dashboard uses served metrics.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			if !strings.Contains(target.Expr, "_") {
				t.Errorf("panel %q: %q", p.Title, target.Expr)
			}
			checkExpression(t, "panel "+p.Title, target.Expr)
		}
	}
}
