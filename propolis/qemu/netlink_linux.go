package qemu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setLink changes a network device, by one message of rtnetlink(7).
func setLink(info unix.IfInfomsg, attributes ...[]byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return os.NewSyscallError("netlink socket", err)
	}
	defer unix.Close(fd)
	body := bytes.Join(attributes, nil)
	message := new(bytes.Buffer)
	for _, part := range []any{
		unix.NlMsghdr{Len: uint32(unix.SizeofNlMsghdr + unix.SizeofIfInfomsg + len(body)), Type: unix.RTM_SETLINK,
			Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK, Seq: 1}, info, body} {
		if err := binary.Write(message, binary.NativeEndian, part); err != nil {
			return err
		}
	}
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(fd, message.Bytes(), 0, kernel); err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	answer := make([]byte, os.Getpagesize())
	n, _, err := unix.Recvfrom(fd, answer, 0) // The kernel has answered within the send.
	if err != nil {
		return os.NewSyscallError("netlink receive", err)
	}
	return acknowledged(answer[:n])
}

// acknowledged returns the error of an NLMSG_ERROR, which is also the answer to a success.
func acknowledged(answer []byte) error {
	all, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return os.NewSyscallError("netlink answer", err)
	}
	for _, m := range all {
		if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
			if code := int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
				return syscall.Errno(-code)
			}
			return nil
		}
	}
	return errors.New("netlink has not acknowledged")
}

// attribute is a struct rtattr with its value, padded to a multiple of 4 bytes.
func attribute(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	a = append(binary.NativeEndian.AppendUint16(a, kind), value...)
	return append(a, make([]byte, (4-len(a)%4)%4)...)
}

func number(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
