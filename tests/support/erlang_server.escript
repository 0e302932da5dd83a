#!/usr/bin/env escript
%% The least SSH server with Erlang/OTP's ssh that runs commands: PORT FOLDER PYTHON PROCESS. Without
%% the last two it is as Erlang has it: no programs, but its own expressions and shell.
%%
%% FOLDER has the host key and authorized_keys. Erlang can neither close the stdin of a program alone
%% nor read its stderr, so the program PROCESS does that for it. It wants new keys after each megabyte.
-module(erlang_server).
-mode(compile).
-behaviour(ssh_server_channel).
-export([main/1, init/1, handle_msg/2, handle_ssh_msg/2, terminate/2]).

main([Port, Folder | Process]) ->
    {ok, _} = application:ensure_all_started(ssh),
    Own = [{ssh_cli, {?MODULE, Process}} || Process =/= []],
    {ok, _} = ssh:daemon({127, 0, 0, 1}, list_to_integer(Port), Own ++ [
        {system_dir, Folder},
        {user_dir, Folder},
        {auth_methods, "publickey"},
        {rekey_limit, {infinity, 1 bsl 20}},
        {subsystems, []}
    ]),
    receive after infinity -> ok end.

init(Process) -> {ok, {Process, none, none, none}}.

handle_msg({ssh_channel_up, _, _}, State) ->
    {ok, State};
handle_msg({Port, {data, <<1, Data/binary>>}}, {_, Port, Connection, Channel} = State) ->
    ssh_connection:send(Connection, Channel, 0, Data),
    {ok, State};
handle_msg({Port, {data, <<2, Data/binary>>}}, {_, Port, Connection, Channel} = State) ->
    ssh_connection:send(Connection, Channel, 1, Data),
    {ok, State};
handle_msg({Port, {exit_status, Status}}, {_, Port, Connection, Channel} = State) ->
    ssh_connection:send_eof(Connection, Channel),
    ssh_connection:exit_status(Connection, Channel, Status),
    {stop, Channel, State}.

handle_ssh_msg({ssh_cm, Connection, {exec, Channel, Reply, Command}}, {[Python | Rest], _, _, _}) ->
    Port = open_port({spawn_executable, Python}, [
        {args, Rest ++ [Command]}, {packet, 4}, binary, exit_status
    ]),
    ssh_connection:reply_request(Connection, Reply, success, Channel),
    {ok, {Rest, Port, Connection, Channel}};
handle_ssh_msg({ssh_cm, _, {data, _, 0, Data}}, {_, Port, _, _} = State) ->
    catch port_command(Port, Data),
    {ok, State};
handle_ssh_msg({ssh_cm, _, {eof, _}}, {_, Port, _, _} = State) ->
    catch port_command(Port, <<>>),
    {ok, State};
handle_ssh_msg({ssh_cm, Connection, {shell, Channel, Reply}}, State) ->
    ssh_connection:reply_request(Connection, Reply, failure, Channel),
    {ok, State};
handle_ssh_msg({ssh_cm, _, _}, State) ->
    {ok, State}.

terminate(_, _) -> ok.
