package archtest

// violations returns the violations in these files of the module, one line each,
// beginning with the position.
func violations(files []*file) []string {
	broken := append(packageDocs(files), sleeps(files)...)
	for _, f := range files {
		for _, rule := range []func(*file) []string{packageName, purity} {
			broken = append(broken, rule(f)...)
		}
	}
	return broken
}
