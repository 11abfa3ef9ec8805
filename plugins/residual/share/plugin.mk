pkglib_LTLIBRARIES += plugins/residual_share.la
plugins_residual_share_la_SOURCES = plugins/residual/share/share.c plugins/residual/share/share_kernel.h
plugins_residual_share_la_LDFLAGS = $(plugin_ldflags)
