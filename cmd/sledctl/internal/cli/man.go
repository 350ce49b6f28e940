package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// environment and files are those that every page lists.
var environment = [][2]string{
	{socketVariable, "The agent's admin socket, unless --socket is given."},
	{"NO_COLOR", "If not empty, no colors are used, unless --color says always."},
	{"TERM", "No colors are used if it is dumb."},
	{"LC_ALL, LC_CTYPE, LANG", "The first that is set decides whether a terminal shows characters beyond ASCII."},
	{pagerVariable + ", PAGER", "The shell command with which events, vmm show, vmm timeline and report show their output on a terminal; " +
		"the first that is not empty. The default is less -FRX, if there is less. With cat, --no-pager, --follow or on a dumb terminal there is none."},
	{"TZ", "The time zone of --local."},
}

var files = [][2]string{
	{defaultSocket, "The agent's admin socket, if neither --socket nor " + socketVariable + " is given."},
}

// manPage returns a command's man page in the macros of man(7).
func manPage(cmd *cobra.Command) string {
	p := &manWriter{}
	p.macro("TH", strings.ToUpper(pageName(cmd)), "1", "", "sled-agent", "User Commands")
	p.section("NAME")
	p.text(pageName(cmd) + " - " + lowerFirst(cmd.Short))
	p.section("SYNOPSIS")
	p.macro("B", synopsis(cmd)+" [OPTIONS]")
	if long := strings.TrimSpace(strings.ReplaceAll(cmd.Long, exitCodesHelp, "")); long != "" {
		p.section("DESCRIPTION")
		p.paragraphs(long)
	}
	p.commands(cmd)
	p.flags("OPTIONS", cmd.NonInheritedFlags())
	p.flags("GLOBAL OPTIONS", cmd.InheritedFlags())
	p.section("ENVIRONMENT")
	p.list(environment)
	p.section("FILES")
	p.list(files)
	p.section("EXIT STATUS")
	for _, e := range exitCodes {
		p.item(fmt.Sprint(e.code), sentence(e.meaning))
	}
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.example(cmd.Example)
	}
	p.section("SEE ALSO")
	p.text(strings.Join(seeAlso(cmd), ",\n"))
	return p.out.String()
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// synopsis returns a command with its arguments.
func synopsis(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	_, arguments, _ := strings.Cut(cmd.Use, " ")
	return strings.TrimSpace(cmd.CommandPath() + " " + arguments)
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

func sentence(text string) string {
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

func seeAlso(cmd *cobra.Command) (pages []string) {
	if cmd.HasParent() {
		pages = append(pages, pageName(cmd.Parent())+"(1)")
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			pages = append(pages, pageName(sub)+"(1)")
		}
	}
	return append(pages, "sled-agent(8)")
}

// A manWriter writes a man page.
type manWriter struct{ out strings.Builder }

var manEscapes = strings.NewReplacer(`\`, `\e`, `-`, `\-`)

// text writes a text whose lines are no requests.
func (p *manWriter) text(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		line = manEscapes.Replace(line)
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		p.out.WriteString(line + "\n")
	}
}

func (p *manWriter) macro(name string, arguments ...string) {
	p.out.WriteString("." + name)
	for _, a := range arguments {
		p.out.WriteString(` "` + strings.ReplaceAll(manEscapes.Replace(a), `"`, `\(dq`) + `"`)
	}
	p.out.WriteString("\n")
}

func (p *manWriter) section(name string) { p.macro("SH", name) }

func (p *manWriter) item(name, text string) {
	p.macro("TP")
	p.macro("B", name)
	p.text(text)
}

func (p *manWriter) list(items [][2]string) {
	for _, i := range items {
		p.item(i[0], i[1])
	}
}

func (p *manWriter) example(text string) {
	p.macro("EX")
	p.text(text)
	p.macro("EE")
}

// paragraphs writes a help text. Paragraphs that are indented are left as they are.
func (p *manWriter) paragraphs(text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			p.macro("PP")
		}
		if strings.HasPrefix(paragraph, " ") || strings.HasPrefix(paragraph, "\t") {
			p.example(paragraph)
		} else {
			p.text(paragraph)
		}
	}
}

func (p *manWriter) commands(cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	p.section("COMMANDS")
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			p.item(synopsis(sub), sentence(sub.Short))
		}
	}
}

func (p *manWriter) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		if d := f.DefValue; !strings.Contains(usage, "default") && d != "" && d != "0" && d != "0s" && d != "false" && d != "[]" {
			usage += " (default " + d + ")"
		}
		p.item(name, sentence(usage))
	})
}
