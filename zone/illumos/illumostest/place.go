package illumostest

import (
	"fmt"
	"io"
	"os/exec"
)

// placeProgram puts the program at path. A process of its own writes the file:
// were it open for writing here, a process forked at that moment by another test
// would hold it open too, and it could not be executed for a while.
func placeProgram(path string) error {
	file, err := program()
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", `cat > "$0" && chmod 755 "$0"`, path)
	cmd.Stdin = io.NewSectionReader(file, 0, info.Size())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("place %s: %w: %s", path, err, out)
	}
	return nil
}
