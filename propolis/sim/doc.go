// Package sim is a simulated Propolis server.
package sim
