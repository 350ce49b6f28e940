package archtest

// violations returns what breaks a rule in these files of the module, one line
// each, beginning with the place.
func violations(files []*file) []string {
	broken := append(packageDocs(files), sleeps(files)...)
	for _, f := range files {
		for _, rule := range []func(*file) []string{imports, packageName, purity} {
			broken = append(broken, rule(f)...)
		}
	}
	return broken
}
