package config

import (
	"regexp"
	"slices"
)

// secret matches an argument that names a secret, with its value if that follows a sign.
var secret = regexp.MustCompile(`(?i)^(.*?(?:passw|secret|token|credential|api[-_]?key|authorization)[^=:\s]*)([=:].*)?$`)

// inURL are a user and a password in a URL.
var inURL = regexp.MustCompile(`(://)[^/\s:@]+:[^/\s@]+@`)

// masked replaces secrets.
const masked = "(not shown)"

// Values returns the values of all keys by their dotted names, to be shown: what looks like a
// secret in a command line is masked. The other keys hold none, only paths of such files.
func (c *Config) Values() map[string]any {
	values := map[string]any{}
	for _, k := range c.keys() {
		values[k.name] = k.get()
	}
	values["zones.process.propolis"] = withoutSecrets(c.Zones.Process.Propolis)
	commands := make([][]string, len(c.Evidence.Commands))
	for i, argv := range c.Evidence.Commands {
		commands[i] = withoutSecrets(argv)
	}
	values["evidence.commands"] = commands
	return values
}

// withoutSecrets masks the values of arguments that name secrets: those behind a sign and
// those that are the next argument.
func withoutSecrets(argv []string) []string {
	shown := slices.Clone(argv)
	for i, arg := range argv {
		shown[i] = inURL.ReplaceAllString(shown[i], "${1}"+masked+"@")
		m := secret.FindStringSubmatch(arg)
		switch {
		case m == nil:
		case m[2] != "":
			shown[i] = m[1] + m[2][:1] + masked
		case arg[0] == '-' && i+1 < len(argv):
			shown[i+1] = masked
		}
	}
	return shown
}
