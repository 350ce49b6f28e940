package api

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// routePorts adds the paths on which a VMM's networking is changed. Every change is
// answered without a body.
func (s *Server) routePorts(router *echo.Echo) {
	membership := s.change(func(c echo.Context) (vmm.NetworkChange, error) {
		// The body decides between join and leave, not the method: as in the reference.
		return decode(s, c, wire.DecodeMembership)
	})
	add(router, "/vmms/:propolis_id/external-ip", methods{http.MethodPut: s.change(s.addIP), http.MethodDelete: s.change(s.removeIP)})
	add(router, "/vmms/:propolis_id/multicast-group", methods{http.MethodPut: membership, http.MethodDelete: membership})
	add(router, "/vmms/:propolis_id/attached-subnets", methods{http.MethodPut: s.change(s.setSubnets),
		http.MethodPost: s.change(s.attach), http.MethodDelete: s.change(detachAll)})
	add(router, "/vmms/:propolis_id/attached-subnets/:subnet", methods{http.MethodDelete: s.change(detach)})
}

// change returns a handler that decodes a change and makes it.
func (s *Server) change(decoded func(echo.Context) (vmm.NetworkChange, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := pathID(c, "propolis_id")
		if err != nil {
			return err
		}
		change, err := decoded(c)
		if err != nil {
			return err
		}
		ctx, end, err := s.begin(c)
		if err != nil {
			return err
		}
		defer end()
		if err := s.agent.SetNetwork(ctx, id, change); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}
}

func (s *Server) addIP(c echo.Context) (vmm.NetworkChange, error) {
	ip, err := decode(s, c, wire.DecodeExternalIP)
	return vmm.AddExternalIP(ip), err
}

func (s *Server) removeIP(c echo.Context) (vmm.NetworkChange, error) {
	ip, err := decode(s, c, wire.DecodeExternalIP)
	return vmm.RemoveExternalIP(ip), err
}

func (s *Server) setSubnets(c echo.Context) (vmm.NetworkChange, error) {
	subnets, err := decode(s, c, wire.DecodeSubnets)
	return vmm.SetSubnets{Subnets: subnets}, err
}

func (s *Server) attach(c echo.Context) (vmm.NetworkChange, error) {
	subnet, err := decode(s, c, wire.DecodeSubnet)
	return vmm.AttachSubnet{Subnet: subnet}, err
}

func detachAll(echo.Context) (vmm.NetworkChange, error) { return vmm.SetSubnets{}, nil }

// detach takes the network from the path, of which a segment is still encoded.
func detach(c echo.Context) (vmm.NetworkChange, error) {
	text, err := url.PathUnescape(c.Param("subnet"))
	if err != nil {
		return nil, badRequest("bad parameter in URL path: subnet: %v", err)
	}
	net, err := wire.ParseSubnet(text)
	if err != nil {
		return nil, badRequest("bad parameter in URL path: %v", err)
	}
	return vmm.DetachSubnet{Net: net}, nil
}
