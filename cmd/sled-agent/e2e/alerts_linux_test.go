package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

const rulesFile = "../../../deploy/prometheus/sled-agent.rules.yml"

// A scrape is what an agent's metrics were at a moment, by series.
type scrape struct {
	at     time.Time
	values map[string]float64
}

// scrape reads the metrics through the admin socket. The up of an agent that does not answer is
// 0, as Prometheus has it.
func (h *harness) scrape() scrape {
	h.t.Helper()
	client := &http.Client{Timeout: waitLimit, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.state("admin.sock"))
		}}}
	s := scrape{time.Now(), map[string]float64{"up": 0}}
	got, err := client.Get("http://admin/metrics")
	if err != nil {
		return s
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	must(h.t, err)
	s.values["up"] = 1
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if end := strings.LastIndexByte(line, ' '); end > 0 && line[0] != '#' {
			s.values[line[:end]], err = strconv.ParseFloat(line[end+1:], 64)
			must(h.t, err)
		}
	}
	return s
}

// until scrapes until the metrics are as they have to be.
func (h *harness) until(holds func(value func(series string) float64) bool) (s scrape) {
	h.t.Helper()
	waitFor(h.t, func() string {
		if s = h.scrape(); !holds(func(series string) float64 { return s.values[series] }) {
			return fmt.Sprintf("the metrics are %v", s.of(regexp.MustCompile(`^(sled_agent|up)`)))
		}
		return ""
	})
	return s
}

// of returns the series with these names.
func (s scrape) of(names *regexp.Regexp) map[string]float64 {
	found := map[string]float64{}
	for series, value := range s.values {
		if names.MatchString(series) {
			found[series] = value
		}
	}
	return found
}

// A course is an agent's metrics over time: two scrapes before, and two in trouble. From
// there on each series goes on as between the last two.
type course struct{ before, then, last scrape }

// again scrapes once more after a while.
func (h *harness) again(before, then scrape) course {
	h.t.Helper()
	pause(2 * time.Second)
	return course{before, then, h.scrape()}
}

// minutes is how long a course goes on, one sample each: longer than a day.
const minutes = 1500

// series writes the course as promtool's input.
func (c course) series(names *regexp.Regexp) string {
	var out strings.Builder
	all := c.last.of(names)
	for series := range c.then.of(names) {
		all[series] = c.last.values[series]
	}
	for series, last := range all {
		start := "_ _ "
		if before, ok := c.before.values[series]; ok {
			start = fmt.Sprintf("%s %s ", decimal(before), decimal(before))
		}
		then, ok := c.then.values[series]
		if !ok && !strings.Contains(series, "_total") { // a counter was 0
			then = last
		}
		slope := (last - then) / c.last.at.Sub(c.then.at).Minutes()
		fmt.Fprintf(&out, "      - series: '%s'\n        values: '%s%s+%sx%d'\n", labelled(series), start, decimal(then), decimal(max(slope, 0)), minutes)
	}
	return out.String()
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// labelled adds the labels that Prometheus adds.
func labelled(series string) string {
	const target = `job="sled-agent",instance="sled-1"`
	if name, labels, ok := strings.Cut(series, "{"); ok {
		return name + "{" + target + "," + labels
	}
	return series + "{" + target + "}"
}

// rules returns the names of the alerts, and what matches the metrics that they use.
func rules(t *testing.T) (alerts []string, names *regexp.Regexp) {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	must(t, err)
	for _, m := range regexp.MustCompile(`(?m)^ *- alert: (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		alerts = append(alerts, m[1])
	}
	used := regexp.MustCompile(`\bsled_agent_[a-z_]+`).FindAllString(string(text), -1)
	slices.Sort(used)
	return alerts, regexp.MustCompile(`^(up|` + strings.Join(slices.Compact(used), "|") + `)(\{|$)`)
}

// judge has promtool decide which alerts fire in a course.
func judge(t *testing.T, c course, want map[string]bool) {
	t.Helper()
	_, names := rules(t)
	path, err := filepath.Abs(rulesFile)
	must(t, err)
	var out bytes.Buffer
	fmt.Fprintf(&out, "rule_files: [%s]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n%s    promql_expr_test:\n", path, c.series(names))
	for alert, fires := range want {
		at, value := "20m", 0
		if alert == "SledAgentEvacuatingForLong" {
			at = "1450m"
		} else if alert == "SledAgentVMMsFail" || alert == "SledAgentDeadlinesLate" || alert == "SledAgentLogLinesLost" {
			at = "8m" // they look at what has increased of late
		}
		if fires {
			value = 1
		}
		fmt.Fprintf(&out, "      - expr: (count(ALERTS{alertname=%q, alertstate=\"firing\"}) or vector(0)) > bool 0\n", alert)
		fmt.Fprintf(&out, "        eval_time: %s\n        exp_samples: [{labels: '{}', value: %d}]\n", at, value)
	}
	file := filepath.Join(t.TempDir(), "course.yml")
	must(t, os.WriteFile(file, out.Bytes(), 0o600))
	if said, err := exec.CommandContext(bounded(t), "promtool", "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s\n%s", err, said, out.String())
	}
}

// fire is a set of alerts that have to fire.
func fire(alerts ...string) map[string]bool {
	want := map[string]bool{}
	for _, a := range alerts {
		want[a] = true
	}
	return want
}

// What cannot be made here: the series of an agent that is well get a value of trouble.
//   - a deadline that passed without a removal would be a defect of the watchdog;
//   - a call that hangs for good needs a file system that does, or an illumos host;
//   - guests' ports exist on illumos only;
//   - the ledger's file has room of its own, which a full disk leaves it for a while.
var invented = map[string]string{
	"SledAgentDeadlineMissed": "sled_agent_vmms_past_deadline",
	"SledAgentHostCallsStuck": "sled_agent_calls_abandoned",
	"SledAgentPortsFailing":   "sled_agent_ports_failing",
	"SledAgentStateNotOnDisk": "sled_agent_vmms_degraded",
}

// made are the alerts that a test below makes fire.
var made = map[string][]string{
	"VMMs and Nexus": {"SledAgentPartsFailing", "SledAgentCannotTell", "SledAgentPropolisSilent", "SledAgentNexusBehind",
		"SledAgentNexusNotResolved", "SledAgentVMMsFail", "SledAgentForcedEnds", "SledAgentOrphanZones", "SledAgentServerErrors",
		"SledAgentEvacuatingForLong", "SledAgentGaveUpPublishing", "SledAgentDeadlinesLate", "SledAgentRemovalStuck"},
	"a full disk": {"SledAgentBundlesLost", "SledAgentLogLinesLost"},
	"no agent":    {"SledAgentDown"},
}

func forAlerts(t *testing.T) {
	t.Helper()
	onlyOnProcesses(t)
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("there is no promtool (apt-get install prometheus); that the agent's metrics fire the alerts is NOT tested")
	}
	if os.Geteuid() != 0 {
		t.Skip("the troubles need root, to mount file systems")
	}
}

// Each alert is fired by the metrics of a real agent, or is one of those that cannot be.
func TestEveryAlertIsFired(t *testing.T) {
	t.Parallel()
	alerts, _ := rules(t)
	var fired []string
	for _, some := range made {
		fired = append(fired, some...)
	}
	for alert := range invented {
		fired = append(fired, alert)
	}
	slices.Sort(fired)
	slices.Sort(alerts)
	if !slices.Equal(alerts, fired) {
		t.Errorf("the alerts are %q, fired are %q", alerts, fired)
	}
}

// An agent that is well fires nothing, and no agent fires the one for that. The names and labels
// of what cannot be made are those of the rules.
func TestAlertsOfAnAgentThatIsWell(t *testing.T) {
	forAlerts(t)
	h := newHarness(t, setup{})
	v := h.launch()
	v.stopAndEnd()
	before := h.scrape()
	well := h.again(before, before)
	alerts, _ := rules(t)
	quiet := map[string]bool{}
	for _, alert := range alerts {
		quiet[alert] = false
	}
	judge(t, well, quiet)
	for alert, series := range invented {
		if _, ok := before.values[series]; !ok {
			t.Errorf("the agent has no series %s", series)
		}
		bad := scrape{before.at, map[string]float64{series: 1}}
		later := scrape{before.at.Add(time.Minute), bad.values}
		judge(t, course{before, bad, later}, fire(alert))
	}
	h.agent().kill()
	judge(t, h.again(before, h.scrape()), fire(made["no agent"]...))
}

const failedVMMs = `sled_agent_vmms_ended_total{asked_by="nobody",forced="false",outcome="failed"}`

// One agent in many troubles at once.
func TestAlertsOfVMMsAndNexus(t *testing.T) {
	forAlerts(t)
	h := newHarness(t, setup{manual: true, zones: section{"orphans": "keep"}, propolis: section{"request_timeout": "1s"}})
	toNexus := h.table("nexus")
	toNexus["give_up_after"], toNexus["dns"] = "1s", []string{freeAddr(t).String()}
	metrics := freeAddr(t).String()
	h.table("admin")["metrics"] = metrics
	h.start()
	silent, stuck, late := h.launch(), faults("ignore-stop").launch(h), faults("ignore-stop").launch(h)
	vms := h.launchMany(6)
	before := h.scrape()
	h.terminate()
	h.take(metrics)
	h.start()

	h.nexus.setFaults("status=503")
	silent.setFaults("hang-all")
	for _, v := range vms[:3] {
		v.do("crash")
	}
	for _, v := range vms[3:] {
		v.setFaults("ignore-stop")
		v.stop(0)
	}
	mounted := filepath.Join(h.zonesDir(), stuck.zone(), "root", "mounted")
	must(t, os.Mkdir(mounted, 0o700), syscall.Mount("tmpfs", mounted, "tmpfs", 0, "size=64k"))
	defer func() { _ = syscall.Unmount(mounted, syscall.MNT_DETACH) }()
	stuck.stop(0)
	orphan := filepath.Join(h.zonesDir(), zonePrefix+uuid.NewString())
	must(t, os.Mkdir(orphan, 0o700))
	// The agent stands still while a deadline passes.
	late.stop(500 * time.Millisecond)
	h.agent().signal(t, syscall.SIGSTOP)
	pause(3 * time.Second)
	h.agent().signal(t, syscall.SIGCONT)
	// VMMs that the drain stops do not fail.
	h.until(func(value func(string) float64) bool { return value(failedVMMs) >= 3 })
	_, err := h.admin.BeginDrain(bounded(t), new(never))
	must(t, err)

	then := h.until(func(value func(string) float64) bool {
		return value("sled_agent_propolis_silent") > 0 && value("sled_agent_orphan_zones") > 0 && value("sled_agent_publish_gave_up_total") > 0 &&
			value("sled_agent_parts_failing") > 0 && value("sled_agent_oldest_removal_age_seconds") > 1
	})
	for range 5 {
		refused := h.newVM()
		h.call("PUT", refused.path(), refused.body).wants(t, http.StatusServiceUnavailable)
		refused.over = true
	}
	judge(t, h.again(before, then), fire(made["VMMs and Nexus"]...))
	must(t, syscall.Unmount(mounted, 0), os.Remove(orphan))
	silent.setFaults()
	h.nexus.setFaults()
}

// An agent whose disk is full, whose bundles cannot be kept, and whose log cannot be written.
func TestAlertsOfAFullDisk(t *testing.T) {
	forAlerts(t)
	h := newProcessHarness(t, setup{})
	must(t, os.MkdirAll(h.stateDir(), 0o700), syscall.Mount("tmpfs", h.stateDir(), "tmpfs", 0, "size=4m,mode=700"))
	defer func() {
		if a := h.agent(); a != nil {
			a.kill()
		}
		for _, p := range processes(h.dir) {
			p.kill()
		}
		_ = syscall.Unmount(h.stateDir(), syscall.MNT_DETACH)
	}()
	h.serves(h.spawnWith(fullDisk(t)))
	must(t, os.RemoveAll(h.state("bundles")), os.WriteFile(h.state("bundles"), nil, 0o600))
	forced := faults("ignore-stop").launch(h)
	before := h.scrape()
	forced.stop(0)
	ballast, err := os.Create(h.state("ballast"))
	must(t, err)
	defer ballast.Close()
	then := h.until(func(value func(string) float64) bool {
		for err = nil; err == nil; {
			_, err = ballast.Write(make([]byte, 4096))
		}
		h.logSomething(10)
		return value("sled_agent_zone_bundles_lost_total") > 0 && value("sled_agent_log_lines_dropped_total") > 0
	})
	judge(t, h.again(before, then), fire(made["a full disk"]...))
}
