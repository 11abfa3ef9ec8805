pkglib_LTLIBRARIES += plugins/convolution_short.la
plugins_convolution_short_la_SOURCES = plugins/convolution/short/short.c plugins/convolution/short/short_kernel.h
plugins_convolution_short_la_LDFLAGS = $(plugin_ldflags)
