package bundle

import (
	"io"
	"os"
	"slices"
	"strings"
)

const (
	// maxFiles bounds the files of a directory that become part of a bundle, maxCollected
	// their sizes together, in bytes.
	maxFiles     = 256
	maxCollected = 8 << 20
)

// collected adds the regular files of a directory below evidence/. What cannot be read is
// left out: the rest of the bundle is worth keeping.
func collected(dir string, add func(name string, data []byte)) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return
	}
	defer root.Close()
	open, err := root.Open(".")
	if err != nil {
		return
	}
	defer open.Close()
	files, _ := open.ReadDir(maxFiles)
	slices.SortFunc(files, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	room := int64(maxCollected)
	for _, f := range files {
		file, err := openFile(root, f.Name())
		if err != nil {
			continue
		}
		data, _ := io.ReadAll(io.LimitReader(file, room))
		_ = file.Close()
		room -= int64(len(data))
		add("evidence/"+f.Name(), data)
	}
}
