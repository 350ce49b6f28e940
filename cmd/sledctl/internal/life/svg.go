package life

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/internal/plain"
)

// The measures of a figure, in pixels.
const (
	figureWidth = 960
	left, right = 120, 170
	top, rowGap = 78, 24
	barHeight   = 14
	leastBar    = 2
	bottom      = 44
)

var colors = map[Kind]string{Done: "#3b6fb6", Failed: "#c8372d", Pending: "#9dbfe6", Left: "#e3e3e3"}

// SVG returns the chart as a figure.
func (c Chart) SVG() string {
	height := top + rowGap*len(c.Rows) + bottom
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n",
		figureWidth, height, figureWidth, height)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="white"/>`+"\n", figureWidth, height)
	text(&out, 16, 26, `font-weight="bold" font-size="15"`, fmt.Sprintf("%s, %s", c.Hostname, c.ID))
	text(&out, 16, 46, `fill="#555"`, fmt.Sprintf("%s of %s, %s to %s", c.Part, admin.Span(c.To.Sub(c.From)),
		c.From.UTC().Format(time.DateOnly+" 15:04:05Z"), c.To.UTC().Format(time.DateOnly+" 15:04:05Z")))
	c.legend(&out)
	floor := top + rowGap*len(c.Rows)
	c.grid(&out, floor)
	for i, r := range c.Rows {
		y := top + rowGap*i
		text(&out, left-10, y+barHeight-2, `text-anchor="end"`, r.Label)
		text(&out, figureWidth-right+10, y+barHeight-2, `fill="#555"`, r.Note)
		for _, b := range r.Bars {
			from, to := c.x(b.From), c.x(b.To)
			fmt.Fprintf(&out, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", from, y, max(to-from, leastBar), barHeight, colors[b.Kind])
		}
	}
	c.lines(&out, floor)
	out.WriteString("</svg>\n")
	return out.String()
}

// legend names the colors that there are, at the right of the title.
func (c Chart) legend(out *strings.Builder) {
	x := figureWidth - 16
	for _, k := range slices.Backward(c.Kinds()) {
		text(out, x, 26, `text-anchor="end" font-size="12"`, k.Name())
		x -= 8*len(k.Name()) + 12
		fmt.Fprintf(out, `<rect x="%d" y="16" width="10" height="10" fill="%s"/>`+"\n", x, colors[k])
		x -= 14
	}
}

// grid draws the ticks of the axis.
func (c Chart) grid(out *strings.Builder, floor int) {
	for _, tick := range c.Ticks(8) {
		x := c.x(c.From.Add(tick))
		label := "0"
		if tick > 0 {
			label = "+" + admin.Span(tick)
		}
		fmt.Fprintf(out, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#e8e8e8"/>`+"\n", x, top-8, x, floor)
		text(out, x, top-14, `text-anchor="middle" font-size="11" fill="#777"`, label)
	}
}

// lines draws the deadline and now, each with its name below.
func (c Chart) lines(out *strings.Builder, floor int) {
	for _, l := range []struct {
		at          *time.Time
		name, color string
		dashes      string
		below       int
	}{{c.Deadline, "deadline", "#c8372d", "5 3", 16}, {c.Now, "now", "#333", "2 3", 32}} {
		if !c.Shows(l.at) {
			continue
		}
		x := c.x(*l.at)
		fmt.Fprintf(out, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="1.5" stroke-dasharray="%s"/>`+"\n",
			x, top-8, x, floor+l.below-11, l.color, l.dashes)
		text(out, x, floor+l.below, fmt.Sprintf(`text-anchor="middle" font-size="12" fill="%s"`, l.color),
			l.name+" +"+admin.Span(l.at.Sub(c.From)))
	}
}

func (c Chart) x(t time.Time) float64 { return left + c.Place(t)*(figureWidth-left-right) }

func text[N int | float64](out *strings.Builder, x N, y int, attributes, content string) {
	fmt.Fprintf(out, `<text x="%v" y="%d" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(plain.Line(content, len(content))))
}
