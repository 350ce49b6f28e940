package report

import "regexp"

const masked = "(not shown)"

// secret matches a name that tells of a secret, and a sign.
const secret = `(?:passw(?:or)?d|secret|token|credential|api[-_]?key|authorization)[\w-]*(?:\\?["'])?\s*[=:]\s*`

var (
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`)
	// named is a name that tells of a secret, a sign, and the secret. quoted is the same with
	// quotes around the secret, which may have spaces.
	named  = regexp.MustCompile(`(?i)(` + secret + `(?:bearer |basic )?)([^\s"'\\,;}]+)`)
	quoted = regexp.MustCompile(`(?i)(` + secret + `\\?["'](?:bearer |basic )?)([^"'\\]+)`)
	// argument is an option that tells of a secret, with the secret behind it.
	argument = regexp.MustCompile(`(?i)(--?[\w-]*(?:passw|secret|token|credential|api[-_]?key)[\w-]*\s+)([^\s-]\S*)`)
	// inURL are a user and a password in a URL.
	inURL = regexp.MustCompile(`(://)[^/\s:@"]+:[^/\s@"]+@`)
)

// mask replaces what looks like a secret in a text.
func mask(text []byte) []byte {
	text = privateKey.ReplaceAll(text, []byte(masked))
	text = quoted.ReplaceAll(text, []byte("${1}"+masked))
	text = named.ReplaceAll(text, []byte("${1}"+masked))
	text = argument.ReplaceAll(text, []byte("${1}"+masked))
	return inURL.ReplaceAll(text, []byte("${1}"+masked+"@"))
}
