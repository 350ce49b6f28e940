package config

import "bytes"

// The decoder's memory grows with the square of the depth of a key: a file of
// 16 KiB that is one long dotted key takes it a gigabyte. No key of ours is
// deeper than three, so depth is bounded before the decoder sees the file.
const (
	maxBrackets = 8  // arrays and inline tables open at once
	maxDots     = 16 // dots in one line, outside of strings
)

// tooDeep returns the number of the first line that is nested beyond the
// bounds, 0 if there is none. It need not be right about text that is not TOML:
// such text the decoder refuses.
func tooDeep(data []byte) int {
	line, dots, brackets := 1, 0, 0
	for len(data) > 0 {
		if n := skipString(data); n > 0 {
			line += bytes.Count(data[:n], []byte{'\n'})
			data = data[n:]
			continue
		}
		switch data[0] {
		case '#':
			data = data[endOfLine(data):]
			continue
		case '\n':
			line, dots = line+1, 0
		case '.':
			dots++
		case '[', '{':
			brackets++
		case ']', '}':
			brackets = max(brackets-1, 0)
		}
		if dots > maxDots || brackets > maxBrackets {
			return line
		}
		data = data[1:]
	}
	return 0
}

func endOfLine(data []byte) int {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i
	}
	return len(data)
}

// skipString returns the length of the TOML string that data begins with, 0 if
// it begins with none. A string that is not closed ends with its line, one of
// several lines with the file.
func skipString(data []byte) int {
	quote := data[0]
	if quote != '"' && quote != '\'' {
		return 0
	}
	fence := bytes.Repeat([]byte{quote}, 3)
	if !bytes.HasPrefix(data, fence) {
		return endOfString(data, fence[:1], true)
	}
	n := endOfString(data, fence, false)
	// Up to two quotes of the content may stand right before the fence.
	for i := 0; i < 2 && n < len(data) && data[n] == quote; i++ {
		n++
	}
	return n
}

// endOfString returns where the string ends that data begins with; fence is what
// it begins and ends with.
func endOfString(data, fence []byte, oneLine bool) int {
	for i := len(fence); i < len(data); i++ {
		switch {
		case bytes.HasPrefix(data[i:], fence):
			return i + len(fence)
		case data[i] == '\\' && fence[0] == '"':
			i++
		case data[i] == '\n' && oneLine:
			return i
		}
	}
	return len(data)
}
