package report

import "regexp"

const masked = "(not shown)"

var (
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`)
	// named is a name that tells of a secret, a sign, and the secret.
	named = regexp.MustCompile(`(?i)((?:passw(?:or)?d|secret|token|credential|api[-_]?key|authorization)[\w-]*(?:\\?["'])?\s*[=:]\s*(?:\\?["'])?(?:bearer |basic )?)([^\s"'\\,;}]+)`)
	// inURL are a user and a password in a URL.
	inURL = regexp.MustCompile(`(://)[^/\s:@"]+:[^/\s@"]+@`)
)

// mask replaces what looks like a secret in a text.
func mask(text []byte) []byte {
	text = privateKey.ReplaceAll(text, []byte(masked))
	text = named.ReplaceAll(text, []byte("${1}"+masked))
	return inURL.ReplaceAll(text, []byte("${1}"+masked+"@"))
}
