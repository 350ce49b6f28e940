package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/itchyny/gojq"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

// The formats of -o.
const (
	formatTable    = "table"
	formatWide     = "wide"
	formatJSON     = "json"
	formatYAML     = "yaml"
	formatName     = "name"
	formatTemplate = "template="
	formatJSONPath = "jsonpath="
	// formatSVG is for commands that have it as an annotation.
	formatSVG = "svg"
)

var formats = []string{formatTable, formatWide, formatJSON, formatYAML, formatName, formatTemplate, formatJSONPath}

const formatsHelp = `With -o json or yaml, commands print what the agent answers, whose fields
"sledctl vmm show -o json" shows. With -o name they print the ids of VMMs or the names
of zones, with -o template= what a template of Go's text/template makes of the JSON,
and with -o jsonpath= what one of kubectl's jsonpath does. --jq applies a jq
expression to the JSON; texts are printed without quotes.`

// An output prints answers in the format of -o and --jq.
type output struct {
	format, expression string
	template           *template.Template
	query              *gojq.Code
	// inline is set if no line ends after a result of query.
	inline bool
}

func (o *output) add(flags *pflag.FlagSet, root *cobra.Command) {
	flags.StringVarP(&o.format, "output", "o", formatTable, "`format` of what is printed: table, wide, json, yaml, name, template=TEMPLATE or jsonpath=TEMPLATE")
	flags.StringVar(&o.expression, "jq", "", "print what this jq `expression` makes of the JSON")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		formats, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
}

// check parses the flags.
func (o *output) check() (err error) {
	text, isTemplate := strings.CutPrefix(o.format, formatTemplate)
	switch {
	case isTemplate:
		o.format = formatTemplate
		if o.template, err = template.New("-o").Parse(text); err != nil {
			return fail(exitUsage, "-o template: %w", err)
		}
	case strings.HasPrefix(o.format, formatJSONPath):
		return o.checkJSONPath()
	case o.format != formatSVG && !slices.Contains(formats, o.format):
		return fail(exitUsage, "-o %q: want table, wide, json, yaml, name, template=TEMPLATE or jsonpath=TEMPLATE", o.format)
	}
	if o.expression == "" {
		return nil
	}
	if o.format != formatTable && o.format != formatJSON {
		return fail(exitUsage, "--jq prints JSON, not -o %s", o.format)
	}
	o.format = formatJSON
	if err := o.compile(o.expression); err != nil {
		return fail(exitUsage, "--jq %s: %w", o.expression, err)
	}
	return nil
}

func (o *output) compile(expression string) error {
	query, err := gojq.Parse(expression)
	if err == nil {
		o.query, err = gojq.Compile(query)
	}
	return err
}

func (o *output) checkJSONPath() error {
	if o.expression != "" {
		return fail(exitUsage, "--jq and -o jsonpath exclude each other")
	}
	template := strings.TrimPrefix(o.format, formatJSONPath)
	query, err := jsonpathQuery(template)
	if err == nil {
		err = o.compile(query)
	}
	if err != nil {
		return fail(exitUsage, "-o jsonpath=%s: %w", template, err)
	}
	o.format, o.inline, o.expression = formatJSON, true, template
	return nil
}

// nameless are the commands that print no VMMs.
var nameless = []string{"agent", "health", "config", "log-level", "goroutines", "report", "status", "drain", "undrain", "events", "console", "top"}

// suits returns an error if a command cannot print the format, before it does anything.
func (o *output) suits(cmd *cobra.Command) error {
	switch {
	case o.format == formatSVG && cmd.Annotations[formatSVG] == "":
		return fail(exitUsage, "-o svg: %s draws nothing", cmd.CommandPath())
	case o.format == formatName && slices.Contains(nameless, cmd.Name()):
		return fail(exitUsage, "-o name: %s prints no VMMs", cmd.CommandPath())
	}
	return nil
}

// people reports whether the format is for people rather than programs.
func (o *output) people() bool { return o.format == formatTable || o.format == formatWide }

// print prints an answer in the requested format. text formats it for people.
func (a *app) print(answer any, text func(view.View) string) error {
	return a.printTo(answer, text, false)
}

// printItem prints one answer of a stream. JSON takes a line of its own.
func (a *app) printItem(answer any, text func(view.View) string) error {
	return a.printTo(answer, text, true)
}

func (a *app) printTo(answer any, text func(view.View) string, stream bool) error {
	o := &a.output
	switch {
	case o.people():
		_, err := io.WriteString(a.Out, text(a.view()))
		return err
	case o.format == formatName:
		return printNames(a.Out, answer)
	case o.format == formatSVG:
		_, err := io.WriteString(a.Out, answer.(interface{ svg() string }).svg())
		return err
	}
	data, err := encode(answer)
	if err != nil {
		return err
	}
	switch {
	case o.query != nil:
		return o.printQuery(a.ctx, a.Out, data)
	case o.template != nil:
		value, err := decode(data)
		if err == nil {
			err = o.template.Execute(a.Out, value)
		}
		return err
	case o.format == formatYAML:
		return printYAML(a.Out, data, stream)
	case !stream:
		var indented bytes.Buffer
		if err := json.Indent(&indented, data, "", "  "); err != nil {
			return err
		}
		data = indented.Bytes()
	}
	_, err = a.Out.Write(data)
	return err
}

// encode returns an answer as JSON in one line.
func encode(answer any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(answer)
	return out.Bytes(), err
}

// A namedAnswer is about things that have names, or ids that it does not show as JSON.
type namedAnswer interface{ names() []string }

func printNames(w io.Writer, answer any) error {
	var names []string
	switch answer := answer.(type) {
	case []vmm.Status:
		for _, s := range answer {
			names = append(names, s.ID.String())
		}
	case vmm.Status:
		names = append(names, answer.ID.String())
	case *vmm.Status:
		if answer != nil {
			names = append(names, answer.ID.String())
		}
	case namedAnswer:
		names = answer.names()
	}
	for _, name := range names {
		if _, err := fmt.Fprintln(w, name); err != nil {
			return err
		}
	}
	return nil
}

// decode returns JSON as Go values, with numbers of the types that templates and gojq use.
func decode(data []byte) (any, error) {
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	var value any
	err := in.Decode(&value)
	return plainNumbers(value), err
}

func plainNumbers(value any) any {
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return int(n)
		}
		n, _ := value.Float64() // valid JSON, so at worst infinite
		return n
	case []any:
		for i := range value {
			value[i] = plainNumbers(value[i])
		}
	case map[string]any:
		for name := range value {
			value[name] = plainNumbers(value[name])
		}
	}
	return value
}

// asked names the expression that a query was made of.
func (o *output) asked() string {
	if o.inline {
		return "-o " + formatJSONPath + o.expression
	}
	return "--jq " + o.expression
}

// printQuery prints the results of --jq, each on a line.
func (o *output) printQuery(ctx context.Context, w io.Writer, data []byte) error {
	value, err := decode(data)
	if err != nil {
		return err
	}
	for results := o.query.RunWithContext(ctx, value); ; {
		result, ok := results.Next()
		if !ok {
			return nil
		}
		text, isText := result.(string)
		if err, failed := result.(error); failed {
			if halt, ok := errors.AsType[*gojq.HaltError](err); ok && halt.Value() == nil {
				return nil
			}
			return fmt.Errorf("%s: %w", o.asked(), err)
		} else if !isText {
			data, err := gojq.Marshal(result)
			if err != nil {
				return fmt.Errorf("%s: %w", o.asked(), err)
			}
			text = string(data)
		}
		if !o.inline {
			text += "\n"
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
}

// printYAML prints JSON as YAML, with the fields in the same order.
func printYAML(w io.Writer, data []byte, stream bool) error {
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	node, err := yamlNode(in)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if stream {
		out.WriteString("---\n")
	}
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return err
	}
	_, err = w.Write(out.Bytes())
	return err
}

// yamlNode reads one value of JSON.
func yamlNode(in *json.Decoder) (*yaml.Node, error) {
	token, err := in.Token()
	if err != nil {
		return nil, err
	}
	open, ok := token.(json.Delim)
	if !ok {
		node := &yaml.Node{}
		if number, ok := token.(json.Number); ok {
			node.Kind, node.Value = yaml.ScalarNode, number.String()
			return node, nil
		}
		return node, node.Encode(token)
	}
	node := &yaml.Node{Kind: yaml.SequenceNode}
	if open == '{' {
		node.Kind = yaml.MappingNode
	}
	for in.More() {
		item, err := yamlNode(in) // an object's names and values in turn
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, item)
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle // [] or {}
	}
	_, err = in.Token()
	return node, err
}
