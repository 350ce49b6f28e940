package admin_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/admin"
)

var update = flag.Bool("update", false, "write docs/admin-api.md")

const page = "../../docs/admin-api.md"

// docs/admin-api.md is what the OpenAPI document says.
func TestPage(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(admin.Document())
	if err != nil {
		t.Fatal(err)
	}
	want := rendered(doc)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s; go test ./agent/admin -update writes it anew (-want +got):\n%s", page, diff)
	}
}

const pageHead = `# The admin API

%s This page is
generated from the API's OpenAPI document, which the agent serves at
` + "`GET /v1/openapi.json`" + `.

The socket is ` + "`admin.sock`" + ` in the state directory, or ` + "`admin.socket`" + `; who may use it is decided by
[the kernel's word on who asks](guide.md#who-may-do-what). Requests have no bodies. An answer
other than 2xx is an [Error](#error), but for the checks of health. Members of answers may be added;
none is taken away within ` + "`/v1`" + `. Below ` + "`/v1/sled`" + ` is [the sled API](compatibility.md), for operators.

`

// An operation is one method of a path, or several that do the same.
type operation struct {
	method, path string
	*openapi3.Operation
}

// operations are all, in the order of the document.
func operations(doc *openapi3.T) (all []operation) {
	text := string(admin.Document())
	paths := slices.SortedFunc(maps.Keys(doc.Paths.Map()), func(a, b string) int {
		return cmp.Compare(strings.Index(text, `"`+a+`": {`), strings.Index(text, `"`+b+`": {`))
	})
	for _, path := range paths {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
			op := doc.Paths.Value(path).GetOperation(method)
			if last := len(all) - 1; op != nil && last >= 0 && all[last].path == path && all[last].Summary == op.Summary {
				all[last].method += ", " + method
			} else if op != nil {
				all = append(all, operation{method, path, op})
			}
		}
	}
	return all
}

func rendered(doc *openapi3.T) string {
	var out strings.Builder
	fmt.Fprintf(&out, pageHead, doc.Info.Description)
	all := operations(doc)
	out.WriteString("| Request | |\n|---|---|\n")
	for _, op := range all {
		fmt.Fprintf(&out, "| [`%s %s`](#%s) | %s |\n", op.method, op.path, anchor(op.method+" "+op.path), op.Summary)
	}
	for _, op := range all {
		op.render(&out)
	}
	out.WriteString("\n## Types\n\nMembers without *always* may be absent.\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		renderType(&out, name, doc.Components.Schemas[name].Value)
	}
	return out.String()
}

// anchor is what a heading is linked by.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.ToLower(heading))
}

func (op operation) render(out *strings.Builder) {
	fmt.Fprintf(out, "\n## `%s %s`\n\n%s.", op.method, op.path, op.Summary)
	if op.Description != "" {
		out.WriteString(" " + op.Description)
	}
	out.WriteString("\n\n")
	if len(op.Parameters) > 0 {
		out.WriteString("| Parameter | Type | |\n|---|---|---|\n")
		for _, p := range op.Parameters {
			fmt.Fprintf(out, "| `%s`, in the %s | %s | %s |\n", p.Value.Name, p.Value.In, typeOf(p.Value.Schema), p.Value.Description)
		}
		out.WriteString("\n")
	}
	out.WriteString("| Answer | Body | |\n|---|---|---|\n")
	answers := op.Responses.Map()
	for _, status := range slices.Sorted(maps.Keys(answers)) { // "default" comes last
		r := answers[status].Value
		name := cmp.Or(map[string]string{"default": "others"}[status], status)
		fmt.Fprintf(out, "| %s | %s | %s |\n", name, body(r.Content), *r.Description)
	}
	fmt.Fprintf(out, "\n```sh\n%s\n```\n", op.curl())
}

// curl is an example.
func (op operation) curl() string {
	if op.Responses.Value("101") != nil {
		return "sledctl vmm console $ID   # curl speaks no websocket"
	}
	path, query := strings.NewReplacer("{id}", "$ID", "{path}", "vmms/$ID/state").Replace(op.path), ""
	for _, p := range op.Parameters {
		if p.Value.In == "query" && p.Value.Example != nil {
			query += fmt.Sprintf("&%s=%v", p.Value.Name, p.Value.Example)
		}
	}
	command, target := "curl -s --unix-socket /var/lib/sled-agent/admin.sock", "http://agent"+path
	if strings.Contains(op.path, "{path}") {
		command += " -H 'api-version: 54.0.0'"
	} else if op.method != "GET" {
		command += " -X " + op.method
	}
	if query != "" {
		target += "?" + query[1:]
	}
	if strings.ContainsAny(target, "&?") {
		target = `"` + target + `"`
	}
	return command + " " + target
}

// body describes the bodies of an answer.
func body(content openapi3.Content) string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(content)) {
		text := typeOf(content[kind].Schema)
		if kind != "application/json" {
			text = strings.TrimPrefix(text+" as ", "string as ") + "`" + kind + "`"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// typeOf names a type, with a link if it has a table.
func typeOf(s *openapi3.SchemaRef) string {
	if s == nil {
		return ""
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return "[" + name + "](#" + anchor(name) + ")"
	}
	v := s.Value
	switch {
	case v.Type.Is("array"):
		return "array of " + typeOf(v.Items)
	case len(v.Enum) > 0:
		var words []string
		for _, e := range v.Enum {
			words = append(words, fmt.Sprintf("`%v`", e))
		}
		return strings.Join(words, ", ")
	case v.Format != "":
		return v.Format
	case v.Type == nil || len(*v.Type) == 0:
		return "any"
	}
	return strings.Join(*v.Type, " or ")
}

func renderType(out *strings.Builder, name string, s *openapi3.Schema) {
	fmt.Fprintf(out, "\n### %s\n\n%s\n", name, s.Description)
	if len(s.Properties) == 0 {
		return
	}
	out.WriteString("\n| Member | Type | |\n|---|---|---|\n")
	for _, member := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[member]
		var notes []string
		if slices.Contains(s.Required, member) {
			notes = append(notes, "*always*")
		}
		if property.Ref == "" && property.Value.Description != "" {
			notes = append(notes, property.Value.Description)
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", member, typeOf(property), strings.Join(notes, "; "))
	}
}
